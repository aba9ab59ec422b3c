/**
 * Loaded into a service that is looked at (`--import` in NODE_OPTIONS, where `--cpu-prof` isn't allowed): SIGUSR2 begins a
 * CPU profile, and the next one ends it and writes it to the file that FLOODGATE_BENCH_PROFILE names.
 */
import { renameSync, writeFileSync } from "node:fs"
import { Session } from "node:inspector"

const SAMPLE_US = 500

const session = new Session()
session.connect()
session.post("Profiler.enable")
session.post("Profiler.setSamplingInterval", { interval: SAMPLE_US })

let running = false
process.on("SIGUSR2", () => {
  if (!running) {
    session.post("Profiler.start")
    running = true
    return
  }
  running = false
  session.post("Profiler.stop", (error, { profile }) => {
    const file = process.env["FLOODGATE_BENCH_PROFILE"]
    if (error !== null || file === undefined) return
    // Never half-written: who waits for it reads it at once.
    writeFileSync(`${file}.part`, JSON.stringify(profile))
    renameSync(`${file}.part`, file)
  })
})
