/**
 * Every retry policy by name, in one table: how often, how long between, and when to stop retrying altogether because
 * the other side is down rather than unlucky.
 *
 * Who repeats what. One layer of a call repeats it, never two, so that attempts add up and don't multiply:
 *
 * - a call to a peer that couldn't be reached: its client, by "grpc.unary", where the method's idempotency level allows.
 *   What the peer answered is never asked again, so a service's own repeats are hidden behind one answer; and a call that
 *   the breaker turned away isn't repeated.
 * - a batch of reservations: the edge's coalescer alone, under the same request ids, while an item has time left.
 * - a conflict in MySQL (deadlock, lock wait): `Mysql.retryConflicts` around the transaction that was rolled back. MySQL
 *   being away isn't one and isn't repeated there. Identity's wallet asks once more after a duplicate key: the decision
 *   that stood against it is there by then.
 * - a command to Redis: nobody. It may have been executed.
 * - a publish: the Kafka adapter, three times within its one deadline (a new leader, a closed connection).
 * - work without a caller who waits (outbox, relays, consumers, recovery, the sweeps, payments under way): its own loop,
 *   for ever, with a pause that grows to a bound. A breaker that is open only makes its attempts cheap.
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import * as Instrument from "../metrics/Instrument.ts"

/** The bounds of one policy. */
export interface RetryPolicy {
  /** Attempts in all, the first included. */
  readonly attempts: 2 | 3 | 4
  /** The longest first pause (ms); it doubles with each attempt. The pause taken is random between 0 and this. */
  readonly base_ms: number
  /** No pause is longer (ms). */
  readonly cap_ms: number
}

/** The policies. None has more than four attempts. */
export const defaults = {
  "grpc.unary": { attempts: 4, base_ms: 50, cap_ms: 1_000 },
} as const satisfies Record<string, RetryPolicy>

/** The names of the policies. */
export type RetryName = keyof typeof defaults

/** The policy of every name. */
export type RetryTable = Readonly<Record<RetryName, RetryPolicy>>

/**
 * The token bucket of one policy and target (the throttling of gRPC proposal A6): a failure that could be retried takes a token, a
 * success gives a tenth back, and nothing is retried while half or less are left. Retries then add at most a tenth to
 * the load of a dependency that fails steadily.
 */
const MAX_TOKENS = 100
const TOKENS_PER_SUCCESS = 0.1

/** The retry policies of this process, with their budgets. */
export class Retries extends Context.Tag("@floodgate/runtime/resilience/Retries")<
  Retries,
  {
    /**
     * Runs an effect again by the policy of `name` while its error is retryable and the budget lasts; the error of the
     * last attempt is the outcome. For effects that are safe to repeat only. Each `target` has a budget of its own: one
     * peer that is down takes no repeats from the others.
     */
    readonly apply: <E>(
      name: RetryName,
      target: string,
      isRetryable: (error: E) => boolean,
    ) => <A, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
    /** The tokens left of a budget, 0 to 100. Nothing is retried at 50 or less. */
    readonly tokens: (name: RetryName, target: string) => number
  }
>() {
  /** The policies of `defaults`. */
  static readonly layer: Layer.Layer<Retries> = Layer.sync(Retries, () => make(defaults))

  /** The same attempts and budgets, without pauses. */
  static readonly layerTest: Layer.Layer<Retries> = Layer.sync(Retries, () =>
    make(
      Object.fromEntries(
        Object.entries(defaults).map(([name, policy]) => [name, { ...policy, base_ms: 0, cap_ms: 0 }]),
      ) as unknown as RetryTable,
    ),
  )
}

/** Full jitter: a random pause between nothing and the capped exponential one, which spreads a crowd best. */
const schedule = (policy: RetryPolicy) =>
  Schedule.exponential(Duration.millis(policy.base_ms)).pipe(
    Schedule.modifyDelayEffect((_, delay) =>
      Effect.map(Random.next, (share) =>
        Duration.millis(Math.min(Duration.toMillis(delay), policy.cap_ms) * share),
      ),
    ),
    Schedule.intersect(Schedule.recurs(policy.attempts - 1)),
  )

const retried = Instrument.counter(
  "floodgate_retries_total",
  "Calls that were made again, by the dependency that they went to",
  { target: Instrument.met(16) },
)

/** Counts every run of an effect but the first. Made anew for each call that may be repeated. */
const counted = <A, E, R>(self: Effect.Effect<A, E, R>, target: string): Effect.Effect<A, E, R> => {
  let begun = false
  return Effect.suspend(() => {
    if (begun) retried.inc({ target })
    begun = true
    return self
  })
}

/** The service over a table of policies, each with a full budget for every target. */
export const make = (table: RetryTable): Context.Tag.Service<Retries> => {
  // Targets are the few peers that a process is configured with.
  const budgets = new Map<string, { tokens: number }>()
  const budgetOf = (name: RetryName, target: string): { tokens: number } => {
    const key = `${name}:${target}`
    const known = budgets.get(key)
    if (known !== undefined) return known
    const budget = { tokens: MAX_TOKENS }
    budgets.set(key, budget)
    // What a target has never needed is shown as zero, too.
    retried.declare({ target: [target] })
    return budget
  }
  return {
    apply: (name, target, isRetryable) => {
      const budget = budgetOf(name, target)
      const policy = schedule(table[name])
      return (self) =>
        Effect.suspend(() =>
          counted(self, target).pipe(
            Effect.tapError((error) =>
              Effect.sync(() => {
                if (isRetryable(error)) budget.tokens = Math.max(0, budget.tokens - 1)
              }),
            ),
            Effect.retry({
              schedule: policy,
              while: (error) => isRetryable(error) && budget.tokens > MAX_TOKENS / 2,
            }),
            Effect.tap(() =>
              Effect.sync(() => {
                budget.tokens = Math.min(MAX_TOKENS, budget.tokens + TOKENS_PER_SUCCESS)
              }),
            ),
          ),
        )
    },
    tokens: (name, target) => budgetOf(name, target).tokens,
  }
}

/** `Retries.layer`. */
export const layer: Layer.Layer<Retries> = Retries.layer

/** `Retries.layerTest`. */
export const layerTest: Layer.Layer<Retries> = Retries.layerTest
