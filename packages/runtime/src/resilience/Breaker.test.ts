import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import { Breaker, type Change, type Settings, type State, transitions } from "./Breaker.ts"

const settings: Settings = {
  window: 8,
  window_ms: 1_000,
  minimum: 4,
  failure_ratio: 0.5,
  slow_share: 0.5,
  slow_ratio: 0.75,
  open_ms: 100,
  open_cap_ms: 350,
  probes: 3,
  probe_ms: 5_000,
}

const LIMIT_MS = 200

/** A breaker, the time, and what became of it. `random` 1 takes every pause in full. */
const start = (overrides: Partial<Settings> = {}, random = 1) => {
  const changes: Array<Change> = []
  const breaker = new Breaker(
    { ...settings, ...overrides },
    0,
    () => random,
    (change) => changes.push(change),
  )
  const at = { ms: 0 }
  const enter = () => breaker.enter(at.ms)
  const leave = (ticket: number, verdict: "answered" | "failed" | "ignored", tookMs = 1) =>
    breaker.leave(ticket, verdict, tookMs, LIMIT_MS, at.ms)
  const call = (verdict: "answered" | "failed" | "ignored", tookMs = 1) => {
    const ticket = enter()
    assert.isAbove(ticket, 0, "the call was turned away")
    leave(ticket, verdict, tookMs)
  }
  const trip = () => {
    for (let n = 0; n < settings.minimum; n++) call("failed")
    assert.strictEqual(breaker.state, "open")
  }
  return { at, breaker, call, changes, enter, leave, trip }
}

const times = (n: number, f: () => void) => {
  for (let i = 0; i < n; i++) f()
}

describe("Breaker", () => {
  it("opens at the share of failures, not before there are enough calls, and tells once", () => {
    const { breaker, call, changes, enter } = start()
    times(3, () => call("failed"))
    assert.strictEqual(breaker.state, "closed")
    call("failed")
    assert.strictEqual(breaker.state, "open")
    assert.isAtMost(enter(), 0)
    assert.deepStrictEqual(
      changes.map(({ from, to, counts }) => ({ from, to, failed: counts.failed })),
      [{ from: "closed", to: "open", failed: 4 }],
    )
  })

  it("a share below the bound keeps it closed", () => {
    const { breaker, call } = start()
    times(50, () => {
      call("answered")
      call("answered")
      call("failed")
    })
    assert.strictEqual(breaker.state, "closed")
    assert.isAtMost(breaker.counts.calls, settings.window)
  })

  it("slow answers open it at a share of their own; a slow answer below that share doesn't", () => {
    const patient = start()
    times(20, () => {
      patient.call("answered", 101)
      patient.call("answered", 100)
    })
    assert.strictEqual(patient.breaker.state, "closed")
    const { breaker, call } = start()
    times(4, () => call("answered", 101))
    assert.strictEqual(breaker.state, "open")
  })

  it("failures of long ago don't count, and a crowd's older successes don't hide a freeze", () => {
    const old = start()
    times(3, () => old.call("failed"))
    old.at.ms = 1_001
    old.call("failed")
    assert.strictEqual(old.breaker.state, "closed")
    const { breaker, call } = start()
    times(100_000, () => call("answered"))
    times(4, () => call("failed"))
    assert.strictEqual(breaker.state, "open")
  })

  it("what says nothing of the dependency isn't counted", () => {
    const { breaker, call } = start()
    times(100, () => call("ignored"))
    assert.strictEqual(breaker.counts.calls, 0)
    assert.strictEqual(breaker.state, "closed")
  })

  it("says how long to wait, lets a few find out, and closes on the majority", () => {
    const { at, breaker, changes, enter, leave, trip } = start()
    trip()
    at.ms = 40
    assert.strictEqual(enter(), -60)
    assert.strictEqual(breaker.waitMs(at.ms), 60)
    at.ms = 100
    const probes = [enter(), enter(), enter()]
    assert.isTrue(probes.every((ticket) => ticket > 0))
    assert.strictEqual(breaker.state, "half_open")
    assert.isBelow(enter(), 0, "a fourth has to wait")
    leave(probes[0]!, "failed")
    leave(probes[1]!, "answered")
    assert.strictEqual(breaker.state, "half_open")
    leave(probes[2]!, "answered")
    assert.strictEqual(breaker.state, "closed")
    assert.deepStrictEqual(
      changes.map(({ to }) => to),
      ["open", "half_open", "closed"],
    )
    // The window begins anew: the failures that opened it are forgotten.
    assert.strictEqual(breaker.counts.calls, 0)
  })

  it("pauses longer each time that the probes fail, up to the cap, and short again after it was well", () => {
    const { at, breaker, call, trip } = start()
    const pauses: Array<number> = []
    trip()
    times(4, () => {
      pauses.push(breaker.waitMs(at.ms))
      at.ms += breaker.waitMs(at.ms)
      call("failed")
      call("answered", 150)
      assert.strictEqual(breaker.state, "open", "a slow probe proves nothing")
    })
    assert.deepStrictEqual(pauses, [100, 200, 350, 350])
    at.ms += breaker.waitMs(at.ms)
    times(2, () => call("answered"))
    assert.strictEqual(breaker.state, "closed")
    trip()
    assert.strictEqual(breaker.waitMs(at.ms), 100)
  })

  it("no two processes take the same pause, and none takes less than half of it", () => {
    const shortest = start({}, 0)
    shortest.trip()
    assert.strictEqual(shortest.breaker.waitMs(0), 50)
  })

  it("a call from before a change has no say after it", () => {
    const { at, breaker, enter, leave, trip } = start()
    const early = [enter(), enter(), enter()]
    trip()
    at.ms = 100
    const probe = enter()
    for (const ticket of early) leave(ticket, "failed")
    assert.strictEqual(breaker.state, "half_open")
    leave(probe, "answered")
    leave(enter(), "answered")
    assert.strictEqual(breaker.state, "closed")
  })

  it("a probe that is interrupted, or never heard of again, makes room for the next", () => {
    const { at, breaker, enter, leave, trip } = start({ probes: 1 })
    trip()
    at.ms = 100
    leave(enter(), "ignored")
    assert.isAbove(enter(), 0)
    assert.isAtMost(enter(), 0)
    at.ms += 5_000
    leave(enter(), "answered")
    assert.strictEqual(breaker.state, "closed")
  })

  it("does what a simple model does, and never leaves its table", () => {
    const step = FastCheck.oneof(
      FastCheck.record({ kind: FastCheck.constant("enter" as const) }),
      FastCheck.record({
        kind: FastCheck.constant("leave" as const),
        which: FastCheck.nat(7),
        verdict: FastCheck.constantFrom("answered" as const, "failed" as const, "ignored" as const),
        tookMs: FastCheck.constantFrom(1, 150),
      }),
      FastCheck.record({ kind: FastCheck.constant("wait" as const), ms: FastCheck.nat(400) }),
    )
    FastCheck.assert(
      FastCheck.property(FastCheck.array(step, { maxLength: 200 }), (steps) => {
        const { at, breaker, changes, enter, leave } = start()
        const model = new Model()
        let calls: Array<{ readonly ticket: number; readonly entered: number }> = []
        for (const one of steps) {
          if (one.kind === "wait") at.ms += one.ms
          else if (one.kind === "enter") {
            const ticket = enter()
            const expected = model.enter(at.ms)
            assert.strictEqual(ticket > 0, expected > 0, `at ${at.ms} ms`)
            if (ticket > 0) calls.push({ ticket, entered: expected })
          } else if (calls.length > 0) {
            const call = calls[one.which % calls.length]!
            calls = calls.filter((other) => other !== call)
            leave(call.ticket, one.verdict, one.tookMs)
            model.leave(call.entered, one.verdict, one.tookMs, at.ms)
          }
          assert.strictEqual(breaker.state, model.state)
        }
        let before: State = "closed"
        for (const { from, to } of changes) {
          assert.strictEqual(from, before)
          assert.include(Object.values(transitions[from]), to)
          before = to
        }
      }),
      { numRuns: 2_000 },
    )
  })
})

/** The same by lists and without any thrift. */
class Model {
  state: State = "closed"
  era = 1
  answers: Array<{ readonly bad: "failed" | "slow" | undefined; readonly atMs: number }> = []
  untilMs = 0
  pauses = 0
  probes: Array<number> = []
  good = 0
  bad = 0

  become(state: State): void {
    this.state = state
    this.era++
    this.answers = []
    this.probes = []
    this.good = 0
    this.bad = 0
  }

  enter(nowMs: number): number {
    if (this.state === "open" && nowMs >= this.untilMs) this.become("half_open")
    if (this.state === "open") return 0
    if (this.state === "half_open") {
      if (this.probes.length >= settings.probes) {
        if (nowMs - this.probes.at(-1)! < settings.probe_ms) return 0
        this.probes = []
      }
      this.probes.push(nowMs)
    }
    return this.era
  }

  leave(entered: number, verdict: string, tookMs: number, nowMs: number): void {
    if (entered !== this.era) return
    const bad = verdict === "failed" ? "failed" : tookMs > LIMIT_MS * settings.slow_share ? "slow" : undefined
    if (this.state === "half_open") this.probes.shift()
    if (verdict === "ignored") return
    if (this.state === "half_open") {
      if (bad === undefined) this.good++
      else this.bad++
      if (this.good >= 2) {
        this.become("closed")
        this.pauses = 0
      } else if (this.bad >= 2) this.trip(nowMs)
      return
    }
    this.answers = [
      ...this.answers.filter(({ atMs }) => nowMs - atMs <= settings.window_ms),
      { bad, atMs: nowMs },
    ]
    this.answers = this.answers.slice(-settings.window)
    const failed = this.answers.filter((answer) => answer.bad === "failed").length
    const either = this.answers.filter((answer) => answer.bad !== undefined).length
    const of = this.answers.length
    if (bad !== undefined && of >= settings.minimum && (failed / of >= 0.5 || either / of >= 0.75))
      this.trip(nowMs)
  }

  trip(nowMs: number): void {
    this.become("open")
    this.untilMs = nowMs + Math.min(settings.open_cap_ms, settings.open_ms * 2 ** this.pauses)
    this.pauses++
  }
}
