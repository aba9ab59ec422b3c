/** The file that signed heads are appended to. It is kept where whoever can write the database can't write. */
import * as fs from "node:fs/promises"
import * as path from "node:path"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as AuditHead from "./AuditHead.ts"

/** The file can't be read or written: its folder is missing or not ours, or the disk is full. */
export class HeadFileFailed extends Data.TaggedError("HeadFileFailed")<{
  readonly file: string
  readonly cause: unknown
}> {
  override get message(): string {
    return `the audit head file ${this.file}: ${this.cause instanceof Error ? this.cause.message : String(this.cause)}`
  }
}

/** How long the disk may take, ms. */
const LIMIT_MS = 5_000

const attempt = <A>(file: string, work: () => Promise<A>): Effect.Effect<A, HeadFileFailed> =>
  Effect.tryPromise({ try: work, catch: (cause) => new HeadFileFailed({ file, cause }) }).pipe(
    Effect.timeoutFail({
      duration: LIMIT_MS,
      onTimeout: () => new HeadFileFailed({ file, cause: new Error(`no answer within ${LIMIT_MS} ms`) }),
    }),
  )

const isAbsent = (cause: unknown): boolean => (cause as NodeJS.ErrnoException).code === "ENOENT"

/** The lines of a file, oldest first; none where there is no file. A line an hour and service: 4 MB a year. */
export const read = (file: string): Effect.Effect<ReadonlyArray<AuditHead.HeadLine>, HeadFileFailed> =>
  attempt(file, () => fs.readFile(file, "utf8")).pipe(
    Effect.catchAll((error) => (isAbsent(error.cause) ? Effect.succeed("") : Effect.fail(error))),
    Effect.map(AuditHead.parse),
  )

/**
 * Appends a line and waits until the disk has it. Services of one machine may share a file: a line is one write, and an
 * append never lands inside another. A line that a crash cut short stays a line of its own.
 */
export const append = (file: string, line: string): Effect.Effect<void, HeadFileFailed> =>
  attempt(file, async () => {
    await fs.mkdir(path.dirname(file), { recursive: true, mode: 0o700 })
    const handle = await fs.open(file, "a+", 0o600)
    try {
      const { size } = await handle.stat()
      const last = Buffer.alloc(1)
      const torn = size > 0 && (await handle.read(last, 0, 1, size - 1)).bytesRead === 1 && last[0] !== 0x0a
      await handle.appendFile(`${torn ? "\n" : ""}${line}\n`)
      await handle.sync()
    } finally {
      await handle.close()
    }
  })
