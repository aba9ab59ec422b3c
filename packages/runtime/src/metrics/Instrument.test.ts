import { describe, it } from "@effect/vitest"
import { assertTrue, deepStrictEqual, strictEqual, throws } from "@effect/vitest/utils"
import * as Effect from "effect/Effect"
import * as Exposition from "./Exposition.ts"
import * as Instrument from "./Instrument.ts"
import * as ProcessMetrics from "./ProcessMetrics.ts"

const scrape = Effect.flatten(Exposition.reader("test"))

const valueOf = (text: string, series: string): number | undefined => {
  const line = text.split("\n").find((one) => one.startsWith(`${series} `))
  return line === undefined ? undefined : Number(line.slice(series.length + 1))
}

describe("metrics", () => {
  it.effect("every series of a family is there, at zero, before anything happened", () =>
    Effect.gen(function* () {
      Instrument.counter("floodgate_test_doors_total", "Doors", {
        state: ["open", "shut"],
        floor: ["1", "2"],
      })
      const text = yield* scrape
      for (const state of ["open", "shut"]) {
        for (const floor of ["1", "2"]) {
          strictEqual(valueOf(text, `floodgate_test_doors_total{state="${state}",floor="${floor}"}`), 0)
        }
      }
      assertTrue(text.includes("# TYPE floodgate_test_doors_total counter"))
    }),
  )

  it.effect("what is counted, measured and observed is what is shown", () =>
    Effect.gen(function* () {
      const counted = Instrument.counter("floodgate_test_hits_total", "Hits", { code: ["200", "other"] })
      counted.inc({ code: "200" }, 3)
      // A label that someone outside chooses can't make a new series.
      counted.inc({ code: "an attacker's" as "other" })
      const level = Instrument.gauge("floodgate_test_level", "Level", {})
      let now = 1
      const forget = Instrument.observe(() => level.set({}, now))
      const timed = Instrument.histogram("floodgate_test_seconds", "Time", {}, [0.1, 1])
      for (const value of [0.05, 0.5, 5]) timed.observe({}, value)

      now = 7
      const text = yield* scrape
      strictEqual(valueOf(text, 'floodgate_test_hits_total{code="200"}'), 3)
      strictEqual(valueOf(text, 'floodgate_test_hits_total{code="other"}'), 1)
      strictEqual(valueOf(text, "floodgate_test_level"), 7)
      deepStrictEqual(
        ['{le="0.1"}', '{le="1"}', '{le="+Inf"}'].map((le) =>
          valueOf(text, `floodgate_test_seconds_bucket${le}`),
        ),
        [1, 2, 3],
      )
      strictEqual(valueOf(text, "floodgate_test_seconds_count"), 3)

      forget()
      now = 9
      strictEqual(valueOf(yield* scrape, "floodgate_test_level"), 7)
    }),
  )

  it.effect(
    "labels whose values come at the start are at zero once they are declared; others become `other`",
    () =>
      Effect.gen(function* () {
        const routes = Instrument.counter("floodgate_test_routes_total", "Routes", {
          route: Instrument.declared,
          status: ["2xx", "5xx"],
        })
        const text = yield* scrape
        strictEqual(valueOf(text, 'floodgate_test_routes_total{route="other",status="2xx"}'), 0)
        routes.inc({ route: "/made-up", status: "2xx" })
        routes.declare({ route: ["/a", "/b"] })
        routes.inc({ route: "/b", status: "5xx" })
        routes.at({ route: "/a", status: "2xx" })(2)

        const after = yield* scrape
        const shown = (route: string, status: string) =>
          valueOf(after, `floodgate_test_routes_total{route="${route}",status="${status}"}`)
        deepStrictEqual(
          [shown("/a", "2xx"), shown("/a", "5xx"), shown("/b", "2xx"), shown("/b", "5xx")],
          [2, 0, 0, 1],
        )
        strictEqual(shown("other", "2xx"), 1)
        strictEqual(shown("/made-up", "2xx"), undefined)
      }),
  )

  it.effect("only declared pairs are made, and a pair that wasn't is counted all the same", () =>
    Effect.gen(function* () {
      const lag = Instrument.gauge("floodgate_test_lag", "Lag", {
        group: Instrument.declared,
        topic: Instrument.declared,
      })
      lag.declare({ group: ["g1"], topic: ["t1"] })
      lag.declare({ group: ["g2"], topic: ["t2"] })
      const text = yield* scrape
      strictEqual(valueOf(text, 'floodgate_test_lag{group="g2",topic="t2"}'), 0)
      strictEqual(valueOf(text, 'floodgate_test_lag{group="g1",topic="t2"}'), undefined)
      lag.set({ group: "g1", topic: "t2" }, 3)
      strictEqual(valueOf(yield* scrape, 'floodgate_test_lag{group="g1",topic="t2"}'), 3)
    }),
  )

  it.effect("names that come with the code are series of their own, so many and no more", () =>
    Effect.gen(function* () {
      const ops = Instrument.counter("floodgate_test_ops_total", "Ops", { op: Instrument.met(2) })
      for (const op of ["a", "b", "c", "d", "a", "c"]) ops.inc({ op })
      const text = yield* scrape
      deepStrictEqual(
        ["a", "b", "c", "other"].map((op) => valueOf(text, `floodgate_test_ops_total{op="${op}"}`)),
        [2, 1, undefined, 3],
      )
    }),
  )

  it.effect("a count that is kept elsewhere is followed, and never goes down", () =>
    Effect.gen(function* () {
      const lost = Instrument.counter("floodgate_test_lost_total", "Lost", {})
      for (const total of [2, 5, 5, 4]) lost.reach({}, total)
      strictEqual(valueOf(yield* scrape, "floodgate_test_lost_total"), 5)
    }),
  )

  it.effect("every family can be listed, with the values of its labels", () =>
    Effect.sync(() => {
      Instrument.gauge("floodgate_test_listed", "Listed", { kind: ["x"], late: Instrument.met(1) })
      deepStrictEqual(
        Instrument.definitions().filter(({ name }) => name === "floodgate_test_listed"),
        [
          {
            name: "floodgate_test_listed",
            type: "gauge",
            help: "Listed",
            labels: { kind: ["x"], late: undefined },
          },
        ],
      )
    }),
  )

  it.effect("a name that isn't ours, a counter without _total, and a second definition are refused", () =>
    Effect.sync(() => {
      throws(() => Instrument.gauge("up", "", {}))
      throws(() => Instrument.counter("floodgate_test_things", "", {}))
      Instrument.gauge("floodgate_test_once", "", {})
      throws(() => Instrument.gauge("floodgate_test_once", "", {}))
      throws(() =>
        Instrument.counter("floodgate_test_known_total", "", { kind: ["a"] }).inc({ kind: "b" as "a" }),
      )
    }),
  )

  it.scoped("a process shows its event loop, memory, processor time and build", () =>
    Effect.gen(function* () {
      yield* Effect.provide(
        Effect.gen(function* () {
          const text = yield* scrape
          for (const name of [
            'floodgate_event_loop_delay_seconds{quantile="0.99"}',
            "floodgate_event_loop_utilization_ratio",
            'floodgate_gc_duration_seconds_count{kind="minor"}',
          ]) {
            assertTrue((valueOf(text, name) ?? -1) >= 0, name)
          }
          assertTrue((valueOf(text, 'floodgate_process_memory_bytes{kind="rss"}') ?? 0) > 1e6)
          assertTrue(/^floodgate_build_info\{service="test",.*\} 1$/m.test(text))
        }),
        ProcessMetrics.layer("test"),
      )
    }),
  )
})
