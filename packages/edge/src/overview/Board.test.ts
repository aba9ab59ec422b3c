import { create } from "@bufbuild/protobuf"
import { assert, describe, it } from "@effect/vitest"
import { GetVitalsResponseSchema } from "@floodgate/contracts/gen/floodgate/vitals/v1/vitals_pb"
import { Overview } from "@floodgate/contracts/http/Overview"
import type { Vitals } from "@floodgate/runtime/metrics/Vitals"
import * as Schema from "effect/Schema"
import * as Board from "./Board.ts"
import { TIMES, timeField } from "./EdgeFigures.ts"

const NOW_MS = Date.UTC(2026, 0, 31, 8, 30, 25)
const NOW = NOW_MS / 10_000

const noVitals: Vitals = {
  outboxUnsent: undefined,
  outboxOldestMs: undefined,
  backlogs: [],
  relayOpenEntries: undefined,
  breakers: [],
}

const nothing: Board.Gathered = {
  nowMs: NOW_MS,
  window: "5m",
  steps: new Map(),
  alone: false,
  booked: [],
  edge: noVitals,
  services: {},
}

describe("the overview", () => {
  it("has the contract's shape at rest: zeros where nothing happened, null where there is nothing to say", () => {
    for (const window of ["5m", "1h"] as const) {
      const overview = Board.of({ ...nothing, window })
      assert.deepStrictEqual(Schema.encodeSync(Overview)(overview), overview)
      assert.deepStrictEqual(overview.funnel, {
        asked: 0,
        limited: 0,
        sold_out: 0,
        accepted: 0,
        persisted: 0,
        paid: 0,
        cancelled: 0,
      })
      assert.deepStrictEqual(overview.latency_ms, { p50: null, p95: null, p99: null })
      assert.isNull(overview.stock_hit_ratio)
      assert.deepStrictEqual(overview.lag, { relay: null, kafka: null, outbox: null })
    }
  })

  it("its points are whole steps, the current one among them, and together they are the funnel", () => {
    const step = Math.floor(NOW)
    const steps = new Map([
      [step, { asked: 5, accepted: 2, requests: 9 }],
      [step - 29, { asked: 1, errors: 1 }],
      // Before the window of five minutes.
      [step - 30, { asked: 100 }],
    ])
    const booked = [
      { atMs: step * 10_000, persisted: 2, paid: 1, cancelled: 0 },
      { atMs: (step - 31) * 10_000, persisted: 50, paid: 50, cancelled: 50 },
    ]
    const short = Board.of({ ...nothing, steps, booked })
    assert.strictEqual(short.series.length, 30)
    assert.strictEqual(short.series[0]!.at, "2026-01-31T08:25:30.000Z")
    assert.strictEqual(short.series[29]!.at, "2026-01-31T08:30:20.000Z")
    assert.strictEqual(short.funnel.asked, 6)
    assert.strictEqual(short.funnel.persisted, 2)
    const long = Board.of({ ...nothing, steps, booked, window: "1h" })
    assert.strictEqual(long.series.length, 60)
    assert.strictEqual(long.step_s, 60)
    assert.strictEqual(long.series[59]!.at, "2026-01-31T08:30:00.000Z")
    assert.strictEqual(long.funnel.asked, 106)
    assert.strictEqual(long.funnel.cancelled, 50)
    for (const { funnel, series } of [short, long]) {
      assert.strictEqual(
        series.reduce((sum, point) => sum + point.asked, 0),
        funnel.asked,
      )
    }
  })

  it("rates are a second's over the last half minute, as far as it has gone", () => {
    const step = Math.floor(NOW)
    const { rates } = Board.of({
      ...nothing,
      steps: new Map([
        [step, { asked: 50 }],
        [step - 2, { asked: 200, requests: 25 }],
        [step - 3, { asked: 1_000 }],
      ]),
      booked: undefined,
    })
    assert.strictEqual(rates.asked, 10)
    assert.strictEqual(rates.requests, 1)
    assert.isNull(rates.persisted)
  })

  it("a quantile lies within its bucket", () => {
    const at = (seconds: number) => timeField(TIMES.indexOf(seconds))
    const counts = { [at(0.005)]: 90, [at(0.1)]: 9, [timeField(TIMES.length)]: 1 }
    assert.closeTo(Board.quantile(counts, 0.5)!, 3.89, 0.01)
    assert.closeTo(Board.quantile(counts, 0.95)!, 77.78, 0.01)
    assert.strictEqual(Board.quantile(counts, 0.999), 10_000)
    assert.isNull(Board.quantile({}, 0.5))
  })

  it("adds up what waits in the services, and names those that couldn't be asked", () => {
    const breaker = { name: "mysql", state: "open", forMs: 1_200n }
    const overview = Board.of({
      ...nothing,
      booked: undefined,
      edge: { ...noVitals, breakers: [{ name: "grpc:payment", state: "half_open", forMs: 10 }] },
      services: {
        inventory: create(GetVitalsResponseSchema, { outboxUnsent: 3n, relayOpenEntries: 7n }),
        ordering: create(GetVitalsResponseSchema, {
          outboxUnsent: 0n,
          backlogs: [
            { group: "ordering", topic: "a", messages: 4n },
            { group: "ordering", topic: "b", messages: 5n },
          ],
          breakers: [breaker],
        }),
        payment: undefined,
      },
    })
    assert.deepStrictEqual(overview.lag, { relay: 7, kafka: 9, outbox: 3 })
    assert.deepStrictEqual(overview.unreachable, ["payment"])
    assert.deepStrictEqual(overview.breakers, [
      { service: "edge", name: "grpc:payment", state: "half_open", for_ms: 10 },
      { service: "ordering", name: "mysql", state: "open", for_ms: 1_200 },
    ])
    assert.isNull(overview.funnel.persisted)
    assert.isNull(overview.series[0]!.paid)
  })

  it("the ratio is of wishes that came as far as the stock", () => {
    const overview = Board.of({
      ...nothing,
      steps: new Map([[Math.floor(NOW), { asked: 100, hits: 3, misses: 9 }]]),
    })
    assert.strictEqual(overview.stock_hit_ratio, 0.25)
  })
})
