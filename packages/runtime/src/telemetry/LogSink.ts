/**
 * Where log lines go. Lines are gathered for one turn of the event loop and written at once; a target that can't take
 * them (disk full, reader gone, reader slow) costs lines, never a request: what is lost is counted, and said by one
 * line as soon as the target works again.
 */
import * as Fs from "node:fs"

/** Takes a chunk of lines; `false` when it couldn't. Never throws. */
export type Target = (chunk: string) => boolean

/** A buffered writer of lines. */
export interface LogSink {
  /** Adds a line (without its line break). */
  readonly write: (line: string) => void
  /** Writes what is gathered, now. */
  readonly flush: () => void
}

/** The most characters held: by one turn of the loop, or by a pipe whose reader is slow. */
export const MAX_HELD_CHARS = 4_194_304

/** A sink into a target; `lostLine` words the line that says how many lines were lost. */
export const make = (target: Target, lostLine: (count: number) => string): LogSink => {
  let held: Array<string> = []
  let heldChars = 0
  let lost = 0
  let scheduled = false

  const flush = (): void => {
    scheduled = false
    if (held.length === 0) return
    const lines = held
    held = []
    heldChars = 0
    const all = lost === 0 ? lines : [lostLine(lost), ...lines]
    if (target(`${all.join("\n")}\n`)) lost = 0
    else lost += lines.length
  }

  return {
    flush,
    write: (line) => {
      if (heldChars + line.length > MAX_HELD_CHARS) {
        lost++
        return
      }
      held.push(line)
      heldChars += line.length
      if (!scheduled) {
        scheduled = true
        setImmediate(flush)
      }
    },
  }
}

/** The process's standard output; while its reader is behind by more than 4 MiB, it takes nothing. */
export const stdout: Target = (chunk) => {
  if (process.stdout.destroyed || process.stdout.writableLength > MAX_HELD_CHARS) return false
  process.stdout.write(chunk)
  return true
}

/** A file that is appended to. Opened at first use, and again after a failure, so that a full disk heals by itself. */
export const file = (path: string): { readonly target: Target; readonly close: () => void } => {
  let fd: number | undefined
  /** The file ends within a line: the disk was full in the middle of it. */
  let torn = false
  const close = (): void => {
    const open = fd
    fd = undefined
    if (open === undefined) return
    try {
      Fs.closeSync(open)
    } catch {
      // Nothing is to be had from a descriptor that can't even be closed.
    }
  }
  return {
    close,
    target: (chunk) => {
      try {
        fd ??= Fs.openSync(path, "a", 0o640)
        const bytes = Buffer.from(torn ? `\n${chunk}` : chunk)
        for (let at = 0; at < bytes.length; ) {
          at += Fs.writeSync(fd, bytes, at)
          torn = at < bytes.length
        }
        return true
      } catch {
        close()
        return false
      }
    },
  }
}
