/** The one place where an engine's trouble becomes the caller's "try again" (530). */
import { Busy } from "@floodgate/contracts/errors/Errors"
import * as Effect from "effect/Effect"
import type { MysqlConflict, MysqlDuplicateKey, MysqlUnavailable } from "../mysql/MysqlError.ts"

/** What a caller waits before it asks again, in milliseconds, where no breaker says for how long it is open. */
const RETRY_AFTER_MS = 1000

type Engine = MysqlUnavailable | MysqlConflict | MysqlDuplicateKey

const isEngine = (error: unknown): error is Engine =>
  typeof error === "object" &&
  error !== null &&
  "_tag" in error &&
  (error._tag === "MysqlUnavailable" || error._tag === "MysqlConflict" || error._tag === "MysqlDuplicateKey")

/**
 * MySQL down, slow, or in conflict after every retry: Busy, and logged. A duplicate key that got this far is a
 * defect: whoever inserts where one may be expected handles it there.
 */
export const orBusy = <A, E, R>(
  self: Effect.Effect<A, E, R>,
): Effect.Effect<A, Exclude<E, Engine> | Busy, R> =>
  Effect.catchAll(self, (error): Effect.Effect<never, Exclude<E, Engine> | Busy> => {
    if (!isEngine(error)) return Effect.fail(error as Exclude<E, Engine>)
    if (error._tag === "MysqlDuplicateKey") return Effect.die(error)
    // The breaker's opening was logged; its refusals may be thousands.
    if (error._tag === "MysqlUnavailable" && error.retryAfterMs !== undefined) {
      return new Busy({ retry_after_ms: error.retryAfterMs })
    }
    return Effect.logWarning("MySQL could not serve a call", error).pipe(
      Effect.zipRight(new Busy({ retry_after_ms: RETRY_AFTER_MS })),
    )
  })
