/**
 * Every retry policy by name, in one table: how often, how long between, and when to stop retrying altogether because
 * the other side is down rather than unlucky.
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"

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
  "mysql.connect": { attempts: 4, base_ms: 100, cap_ms: 1_000 },
  "redis.command": { attempts: 3, base_ms: 20, cap_ms: 200 },
  "bus.publish": { attempts: 4, base_ms: 100, cap_ms: 2_000 },
  "provider.call": { attempts: 4, base_ms: 200, cap_ms: 2_000 },
} as const satisfies Record<string, RetryPolicy>

/** The names of the policies. */
export type RetryName = keyof typeof defaults

/** The policy of every name. */
export type RetryTable = Readonly<Record<RetryName, RetryPolicy>>

/**
 * The token bucket of one policy (the throttling of gRPC proposal A6): a failure that could be retried takes a token, a
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
     * last attempt is the outcome. For effects that are safe to repeat only.
     */
    readonly apply: <E>(
      name: RetryName,
      isRetryable: (error: E) => boolean,
    ) => <A, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
    /** The tokens left of `name`'s budget, 0 to 100. Nothing is retried at 50 or less. */
    readonly tokens: (name: RetryName) => number
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

/** The service over a table of policies, each with a full budget. */
export const make = (table: RetryTable): Context.Tag.Service<Retries> => {
  const budgets = new Map<RetryName, { tokens: number }>()
  const budgetOf = (name: RetryName): { tokens: number } => {
    const budget = budgets.get(name) ?? { tokens: MAX_TOKENS }
    budgets.set(name, budget)
    return budget
  }
  return {
    apply: (name, isRetryable) => {
      const budget = budgetOf(name)
      const policy = schedule(table[name])
      return (self) =>
        self.pipe(
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
        )
    },
    tokens: (name) => budgetOf(name).tokens,
  }
}

/** `Retries.layer`. */
export const layer: Layer.Layer<Retries> = Retries.layer

/** `Retries.layerTest`. */
export const layerTest: Layer.Layer<Retries> = Retries.layerTest
