import * as fs from "node:fs"

/** True while a process runs; a zombie, whose parent doesn't collect it, doesn't. */
export const isRunning = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
  } catch (cause) {
    // Another user's process is one, too.
    return (cause as NodeJS.ErrnoException).code === "EPERM"
  }
  if (process.platform !== "linux") return true
  try {
    return !/^State:\s+Z/m.test(fs.readFileSync(`/proc/${pid}/status`, "utf8"))
  } catch {
    return false
  }
}
