/** Redis' append-only file, as a crash may leave it: its last commands missing. */
import * as fs from "node:fs"
import * as path from "node:path"

const CR = 13

/** The offsets at which commands begin, in the file's own format (RESP arrays, and comment lines of timestamps). */
const commandStarts = (bytes: Buffer): Array<number> => {
  const starts: Array<number> = []
  let at = 0
  const line = (): string => {
    const end = bytes.indexOf(CR, at)
    if (end < 0) throw new RangeError("the file ends within a line")
    const text = bytes.toString("latin1", at, end)
    at = end + 2
    return text
  }
  while (at < bytes.length) {
    const start = at
    const head = line()
    if (head.startsWith("#")) continue
    if (!head.startsWith("*")) throw new Error(`byte ${start} of an append-only file begins no command`)
    for (let i = Number(head.slice(1)); i > 0; i--) {
      const size = Number(line().slice(1))
      at += size + 2
    }
    starts.push(start)
  }
  return starts
}

/** Cuts the last commands off, at most as many as the newest part of the file has. Answers how many went. */
export const cutOff = (dataDir: string, commands: number): number => {
  const folder = path.join(dataDir, "appendonlydir")
  const parts = fs
    .readdirSync(folder)
    .filter((name) => name.endsWith(".incr.aof"))
    .map((name) => ({ file: path.join(folder, name), number: Number(/\.(\d+)\.incr\.aof$/.exec(name)?.[1]) }))
    .sort((a, b) => b.number - a.number)
  const newest = parts[0]
  if (newest === undefined) throw new Error(`there is no append-only file in ${folder}`)
  const starts = commandStarts(fs.readFileSync(newest.file))
  const cut = Math.min(commands, starts.length)
  if (cut > 0) fs.truncateSync(newest.file, starts[starts.length - cut]!)
  return cut
}
