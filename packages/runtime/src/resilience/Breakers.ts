/**
 * The breakers of this process by name, and the settings of every kind in one table. Where the service isn't provided
 * (in a test of something else), calls go through as if there were none.
 *
 * What a breaker counts is decided where the call is made, by what the caller knows afterwards: no answer in time and no
 * connection are failures; a duplicate key, a conflict, a script's error, a typed answer of a peer aren't. Health checks
 * pass every breaker by: readiness tells of the engine, not of what we think of it.
 *
 * A breaker is never a reason to give up: workers go on trying at their own pace, and it is their calls, like anybody's,
 * that find out when the dependency is back.
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import { Breaker, type Change, type Counts, type Settings, type State, type Verdict } from "./Breaker.ts"

export type { Settings, State, Verdict } from "./Breaker.ts"

/**
 * The settings of every kind. What counts as slow is above what a busy machine shows in health. A pause's cap is what a recovery
 * may cost beyond the dependency's own: short for our engines, long for third parties, who may be overloaded.
 */
export const defaults = {
  mysql: {
    window: 20,
    window_ms: 10_000,
    minimum: 10,
    failure_ratio: 0.5,
    // 0.8 s of a read's 2 s, 2 s of a transaction's 5: above what an overloaded machine shows, below a network that drips.
    slow_share: 0.4,
    slow_ratio: 0.8,
    open_ms: 500,
    open_cap_ms: 1_500,
    probes: 3,
    probe_ms: 15_000,
  },
  redis: {
    window: 20,
    window_ms: 10_000,
    minimum: 10,
    failure_ratio: 0.5,
    slow_share: 0.8,
    slow_ratio: 0.8,
    open_ms: 250,
    open_cap_ms: 1_000,
    probes: 3,
    probe_ms: 5_000,
  },
  bus: {
    window: 20,
    window_ms: 30_000,
    minimum: 5,
    failure_ratio: 0.5,
    slow_share: 0.5,
    slow_ratio: 0.8,
    open_ms: 500,
    open_cap_ms: 2_000,
    probes: 1,
    probe_ms: 15_000,
  },
  grpc: {
    window: 20,
    window_ms: 10_000,
    minimum: 10,
    failure_ratio: 0.5,
    // One breaker for all of a peer's methods, quick ones and a login's hashing: only what is nearly a time-out is slow.
    slow_share: 0.8,
    slow_ratio: 0.8,
    open_ms: 300,
    open_cap_ms: 1_500,
    probes: 3,
    probe_ms: 10_000,
  },
  channel: {
    window: 20,
    window_ms: 60_000,
    minimum: 5,
    failure_ratio: 0.5,
    slow_share: 0.8,
    slow_ratio: 0.8,
    open_ms: 1_000,
    open_cap_ms: 15_000,
    probes: 1,
    probe_ms: 20_000,
  },
} as const satisfies Record<string, Settings>

export type BreakerKind = keyof typeof defaults

export type BreakerTable = Readonly<Record<BreakerKind, Settings>>

/** A moment of one breaker. */
export interface BreakerStatus extends Counts {
  readonly state: State
  /** How long it has been in this state, ms. */
  readonly for_ms: number
  /** When that began, Unix ms. */
  readonly since_ms: number
  /** How long calls are certainly refused from now on, ms. */
  readonly wait_ms: number
}

/**
 * A call's way through a breaker. `enter` gives a ticket (above zero), which goes to `leave` exactly once, with how long
 * the call took and might have taken (ms); zero or less is a refusal whose absolute value is how long (ms) it pays to
 * wait.
 */
export interface Gate {
  readonly enter: () => number
  readonly leave: (ticket: number, verdict: Verdict, tookMs: number, limitMs: number) => void
  /** How long (ms) calls are certainly refused from now on; 0 where the next one may go. */
  readonly waitMs: () => number
}

/** Lets everything through. */
export const open: Gate = { enter: () => 1, leave: () => {}, waitMs: () => 0 }

/** The breakers of this process. */
export class Breakers extends Context.Tag("@floodgate/runtime/resilience/Breakers")<
  Breakers,
  {
    /** The breaker `kind` or, of several of a kind, `kind:instance`. The same name gives the same breaker. */
    readonly gate: (kind: BreakerKind, instance?: string) => Gate
    /** Every breaker by name. Synchronous, for gauges. */
    readonly states: () => Readonly<Record<string, BreakerStatus>>
  }
>() {
  /** The breakers of `defaults`. */
  static readonly layer: Layer.Layer<Breakers> = Layer.scoped(
    Breakers,
    // A clock that is set back must not keep a breaker open.
    Effect.suspend(() => make(defaults, () => performance.now())),
  )

  /** The same settings by Effect's clock and with pauses in full, so that a test decides the time. */
  static readonly layerTest: Layer.Layer<Breakers> = Layer.scoped(
    Breakers,
    Effect.flatMap(Effect.clock, (clock) =>
      make(
        defaults,
        () => clock.unsafeCurrentTimeMillis(),
        () => 1,
      ),
    ),
  )
}

/** The gate of a name, or an open one where no `Breakers` are provided. */
export const gate = (kind: BreakerKind, instance?: string): Effect.Effect<Gate> =>
  Effect.map(
    Effect.serviceOption(Breakers),
    Option.match({ onNone: () => open, onSome: (breakers) => breakers.gate(kind, instance) }),
  )

/** Changes that wait to be logged; a log that hangs loses the oldest. */
const MAX_UNLOGGED = 64

const words: Readonly<Record<State, string>> = {
  open: "breaker opened: calls are refused at once",
  half_open: "breaker half open: a few calls find out",
  closed: "breaker closed: calls go through again",
}

/** The service over a table of settings. `nowMs` must not go back. Logs each change of state once, at warn. */
export const make = (
  table: BreakerTable,
  nowMs: () => number,
  random: () => number = Math.random,
): Effect.Effect<Context.Tag.Service<Breakers>, never, Scope.Scope> =>
  Effect.gen(function* () {
    const breakers = new Map<string, { readonly breaker: Breaker; readonly gate: Gate }>()
    const changes = yield* Queue.sliding<Change & { readonly breaker: string }>(MAX_UNLOGGED)
    yield* Queue.take(changes).pipe(
      Effect.flatMap(({ breaker, counts, from, to }) =>
        Effect.annotateLogs(Effect.logWarning(words[to]), { breaker, from, to, ...counts }),
      ),
      Effect.forever,
      Effect.forkScoped,
    )

    const create = (kind: BreakerKind, name: string) => {
      const breaker = new Breaker(table[kind], nowMs(), random, (change) => {
        Queue.unsafeOffer(changes, { ...change, breaker: name })
      })
      const gate: Gate = {
        enter: () => breaker.enter(nowMs()),
        leave: (ticket, verdict, tookMs, limitMs) => breaker.leave(ticket, verdict, tookMs, limitMs, nowMs()),
        waitMs: () => breaker.waitMs(nowMs()),
      }
      const created = { breaker, gate }
      breakers.set(name, created)
      return created
    }

    return {
      gate: (kind, instance) => {
        const name = instance === undefined ? kind : `${kind}:${instance}`
        return (breakers.get(name) ?? create(kind, name)).gate
      },
      states: () => {
        const at = nowMs()
        return Object.fromEntries(
          [...breakers].map(([name, { breaker }]) => {
            const forMs = Math.max(0, at - breaker.sinceMs)
            const status: BreakerStatus = {
              state: breaker.state,
              for_ms: Math.round(forMs),
              since_ms: Math.round(Date.now() - forMs),
              wait_ms: Math.ceil(breaker.waitMs(at)),
              ...breaker.counts,
            }
            return [name, status]
          }),
        )
      },
    }
  })

/** A call that was given less than this (ms) can time out for its caller's sake. */
const PATIENCE_MS = 200

/**
 * The verdict on a time-out after so long (ms): a failure, unless the limit was too short to tell, or our own timer came as
 * late again as it should have: then this process stood still, and answers may lie unread.
 */
export const timedOut = (tookMs: number, limitMs: number): Verdict =>
  limitMs < PATIENCE_MS || tookMs > limitMs * 2 ? "ignored" : "failed"

/**
 * Runs an effect that may take `limitMs` through a gate, or fails with `refused` (given how long it pays to wait, ms)
 * where the breaker is open. `verdictOf` judges its errors; an interruption is ignored, and a defect is ours, not the
 * dependency's.
 */
export const through =
  <E, E2>(
    gate: Gate,
    limitMs: number,
    verdictOf: (error: E, tookMs: number) => Verdict,
    refused: (waitMs: number) => E2,
  ) =>
  <A, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E | E2, R> =>
    gate === open
      ? self
      : Effect.suspend((): Effect.Effect<A, E | E2, R> => {
          const ticket = gate.enter()
          if (ticket <= 0) return Effect.fail(refused(-ticket))
          const startedAt = performance.now()
          return Effect.onExit(self, (exit) =>
            Effect.sync(() => {
              const tookMs = performance.now() - startedAt
              gate.leave(ticket, verdictOfExit(exit, tookMs, verdictOf), tookMs, limitMs)
            }),
          )
        })

const verdictOfExit = <A, E>(
  exit: Exit.Exit<A, E>,
  tookMs: number,
  verdictOf: (error: E, tookMs: number) => Verdict,
): Verdict => {
  if (exit._tag === "Success") return "answered"
  const failure = Cause.failureOption(exit.cause)
  if (Option.isSome(failure)) return verdictOf(failure.value, tookMs)
  return Cause.isInterrupted(exit.cause) ? "ignored" : "answered"
}

/** `Breakers.layer`. */
export const layer: Layer.Layer<Breakers> = Breakers.layer

/** `Breakers.layerTest`. */
export const layerTest: Layer.Layer<Breakers> = Breakers.layerTest
