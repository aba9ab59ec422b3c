/** The machine that everything here is measured on, and what its processes use of it. */
import { readFileSync } from "node:fs"
import { arch, cpus, loadavg, platform, release, totalmem } from "node:os"

export const describe = (): string => {
  const [cpu] = cpus()
  const load = loadavg()
    .map((n) => n.toFixed(1))
    .join(" ")
  return (
    `${cpus().length} × ${cpu?.model.trim() ?? "unknown"}, ${Math.round(totalmem() / 2 ** 30)} GiB, ` +
    `${platform()} ${release()} ${arch()}, Node ${process.versions.node}, load before: ${load}`
  )
}

/** Linux counts in hundredths of a second, on every machine that matters. */
const TICKS_A_SECOND = 100
const PAGE_BYTES = 4_096

const stat = (pid: number): ReadonlyArray<string> | undefined => {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "latin1")
    // The name is in parentheses and may hold anything.
    return text.slice(text.lastIndexOf(")") + 2).split(" ")
  } catch {
    return undefined
  }
}

/** Processor time that a process has used so far, in seconds; NaN where this system doesn't tell. */
export const cpuSeconds = (pid: number): number => {
  const fields = stat(pid)
  return fields === undefined ? Number.NaN : (Number(fields[11]) + Number(fields[12])) / TICKS_A_SECOND
}

/** Resident memory, in bytes; NaN where this system doesn't tell. */
export const residentBytes = (pid: number): number => {
  const fields = stat(pid)
  return fields === undefined ? Number.NaN : Number(fields[21]) * PAGE_BYTES
}
