/** What every process shows of itself: event loop, garbage collection, memory, CPU, build. */
import * as PerfHooks from "node:perf_hooks"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Instrument from "./Instrument.ts"

/** The version of the build, as the launcher's bundler put it in; `source` where nothing was bundled. */
declare const __FLOODGATE_VERSION__: string | undefined
const version = typeof __FLOODGATE_VERSION__ === "undefined" ? "source" : __FLOODGATE_VERSION__

const NS_PER_S = 1e9
/** How finely the delay of the event loop is sampled (ms). */
const LOOP_RESOLUTION_MS = 20

const loopDelay = Instrument.gauge(
  "floodgate_event_loop_delay_seconds",
  "How late the event loop was since the last scrape, by quantile",
  { quantile: ["0.5", "0.99", "1"] },
)
const loopUse = Instrument.gauge(
  "floodgate_event_loop_utilization_ratio",
  "Share of time since the last scrape in which the event loop was busy",
  {},
)
const collections = Instrument.histogram(
  "floodgate_gc_duration_seconds",
  "Pauses of the garbage collector",
  { kind: ["minor", "major", "incremental", "weakcb"] },
  [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1],
)
const memory = Instrument.gauge("floodgate_process_memory_bytes", "Memory of the process", {
  kind: ["rss", "heap_used", "heap_total", "external"],
})
const cpu = Instrument.counter("floodgate_process_cpu_seconds_total", "Processor time used", {
  mode: ["user", "system"],
})
const startTime = Instrument.gauge(
  "floodgate_process_start_time_seconds",
  "When the process started, in Unix seconds",
  {},
)

const build = Instrument.gauge("floodgate_build_info", "What runs here; always 1", {
  service: Instrument.told,
  version: [version],
  node: [process.version],
})

const gcKinds = new Map<number, "minor" | "major" | "incremental" | "weakcb">([
  [PerfHooks.constants.NODE_PERFORMANCE_GC_MINOR, "minor"],
  [PerfHooks.constants.NODE_PERFORMANCE_GC_MAJOR, "major"],
  [PerfHooks.constants.NODE_PERFORMANCE_GC_INCREMENTAL, "incremental"],
  [PerfHooks.constants.NODE_PERFORMANCE_GC_WEAKCB, "weakcb"],
])

/** Starts to watch this process; at most one a process. */
export const layer = (service: string): Layer.Layer<never> =>
  Layer.scopedDiscard(
    Effect.acquireRelease(
      Effect.sync(() => {
        build.declare({ service: [service], version: [version], node: [process.version] })
        build.set({ service, version, node: process.version }, 1)
        startTime.set({}, Math.round(Date.now() / 1_000 - process.uptime()))

        const delay = PerfHooks.monitorEventLoopDelay({ resolution: LOOP_RESOLUTION_MS })
        delay.enable()
        const gc = new PerfHooks.PerformanceObserver((list) => {
          for (const entry of list.getEntries()) {
            const kind = gcKinds.get((entry as unknown as { detail?: { kind?: number } }).detail?.kind ?? -1)
            if (kind !== undefined) collections.observe({ kind }, entry.duration / 1_000)
          }
        })
        gc.observe({ entryTypes: ["gc"] })

        let loop = PerfHooks.performance.eventLoopUtilization()
        let spent = process.cpuUsage()
        const forget = Instrument.observe(() => {
          // The monitor counts its own sampling interval as delay.
          const quantile = (of: number) => Math.max(0, of / NS_PER_S - LOOP_RESOLUTION_MS / 1_000)
          const known = delay.count > 0
          loopDelay.set({ quantile: "0.5" }, known ? quantile(delay.percentile(50)) : 0)
          loopDelay.set({ quantile: "0.99" }, known ? quantile(delay.percentile(99)) : 0)
          loopDelay.set({ quantile: "1" }, known ? quantile(delay.max) : 0)
          delay.reset()

          const now = PerfHooks.performance.eventLoopUtilization()
          loopUse.set({}, PerfHooks.performance.eventLoopUtilization(now, loop).utilization)
          loop = now

          const used = process.cpuUsage()
          cpu.inc({ mode: "user" }, (used.user - spent.user) / 1e6)
          cpu.inc({ mode: "system" }, (used.system - spent.system) / 1e6)
          spent = used

          const { external, heapTotal, heapUsed, rss } = process.memoryUsage()
          memory.set({ kind: "rss" }, rss)
          memory.set({ kind: "heap_used" }, heapUsed)
          memory.set({ kind: "heap_total" }, heapTotal)
          memory.set({ kind: "external" }, external)
        })
        return () => {
          forget()
          gc.disconnect()
          delay.disable()
        }
      }),
      (stop) => Effect.sync(stop),
    ),
  )
