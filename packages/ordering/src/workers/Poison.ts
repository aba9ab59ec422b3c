/** Whether a message failed by itself, or the engine did: the first leaves the line, the second is waited for. */
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"

/**
 * Errors of MySQL that a value in the statement causes: out of range (1264, 1690), NULL (1048), not text of the
 * column's character set (1366), too long (1406), a violated CHECK (3819, MariaDB 4025), not the column's JSON (3140,
 * 3141, MariaDB 4038).
 */
const OF_THE_DATA: ReadonlySet<number> = new Set([1048, 1264, 1366, 1406, 1690, 3140, 3141, 3819, 4025, 4038])

const isEngineFailure = (error: unknown): boolean =>
  typeof error === "object" &&
  error !== null &&
  "_tag" in error &&
  (error._tag === "MysqlUnavailable" || error._tag === "MysqlConflict")

const isOfTheServer = (defect: unknown): boolean => {
  if (typeof defect !== "object" || defect === null || !("sqlMessage" in defect)) return false
  // Any other answer of the server (a missing grant, a missing table, a full disk) is about us, not the message.
  return !("errno" in defect && typeof defect.errno === "number" && OF_THE_DATA.has(defect.errno))
}

/** What happened, in a line that operators read; where in our code it did is the log's. */
export const reasonOf = (cause: Cause.Cause<unknown>): string =>
  Cause.prettyErrors(cause)
    .map(({ message, name }) => (message === "" ? name : message))
    .join("; ")

/** False for engine failures, interruptions, and whatever would fail for every message alike. */
export const isPoison = (cause: Cause.Cause<unknown>): boolean =>
  !Cause.isInterrupted(cause) &&
  !Chunk.some(Cause.failures(cause), isEngineFailure) &&
  !Chunk.some(Cause.defects(cause), isOfTheServer)
