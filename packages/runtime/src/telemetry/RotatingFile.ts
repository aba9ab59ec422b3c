/**
 * A log file that is turned over by size and by age. A disk that is full, or a folder that is gone, costs lines and
 * never a request: the file is opened anew after a pause, and heals by itself.
 */
import * as Path from "node:path"
import { createStream, type RotatingFileStream } from "rotating-file-stream"
import { MAX_HELD_CHARS, type Target } from "./LogSink.ts"

/** When a file is turned over, and how many are kept. */
export interface Rotation {
  /** Such as `64M`: a file that reaches it is turned over. */
  readonly maxSize: string
  /** Such as `1d`: so is one that is older. */
  readonly maxAge: string
  /** How many turned-over files are kept beside the current one; the oldest goes first. */
  readonly maxFiles: number
}

/** After a failure, how long lines are given up before the file is tried again (ms). */
const REOPEN_AFTER_MS = 1_000

export interface RotatingFile {
  readonly target: Target
  /** Calls back when everything taken is written, or can't be. */
  readonly close: (done: () => void) => void
  /** Lines that were taken and then lost by a failure, since the start. */
  readonly lost: () => number
}

const pad = (part: number): string => String(part).padStart(2, "0")

/** `a.log` is the current file; `a.20261123-0715-1.log` was turned over then. */
const nameOf =
  (base: string) =>
  (time: number | Date, index?: number): string => {
    if (!time) return base
    const at = new Date(time)
    const day = `${at.getUTCFullYear()}${pad(at.getUTCMonth() + 1)}${pad(at.getUTCDate())}`
    const { name, ext } = Path.parse(base)
    return `${name}.${day}-${pad(at.getUTCHours())}${pad(at.getUTCMinutes())}-${index ?? 1}${ext}`
  }

/** Opens nothing before the first line. */
export const make = (file: string, rotation: Rotation): RotatingFile => {
  const folder = Path.dirname(Path.resolve(file))
  let stream: RotatingFileStream | undefined
  let closedUntil = 0
  let lost = 0
  /** The file may end within a line: the disk was full in the middle of it. */
  let torn = false

  const open = (): RotatingFileStream => {
    const opened = createStream(nameOf(Path.basename(file)), {
      path: folder,
      size: rotation.maxSize,
      interval: rotation.maxAge,
      intervalUTC: true,
      maxFiles: rotation.maxFiles,
      mode: 0o640,
    })
    opened.on("error", () => {
      if (stream === opened) stream = undefined
      closedUntil = Date.now() + REOPEN_AFTER_MS
      opened.destroy()
    })
    // The turning over failed; the current file goes on.
    opened.on("warning", () => undefined)
    return opened
  }

  return {
    target: (chunk) => {
      if (stream === undefined && Date.now() < closedUntil) return false
      stream ??= open()
      if (stream.writableLength > MAX_HELD_CHARS) return false
      const lines = chunk.split("\n").length - 1
      stream.write(torn ? `\n${chunk}` : chunk, (error) => {
        if (!error) return
        lost += lines
        torn = true
      })
      torn = false
      return true
    },
    close: (done) => {
      const last = stream
      stream = undefined
      closedUntil = Number.POSITIVE_INFINITY
      if (last === undefined || last.destroyed) return done()
      last.once("close", done)
      last.end()
    },
    lost: () => lost,
  }
}
