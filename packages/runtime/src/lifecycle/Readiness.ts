/**
 * Whether this process should get traffic. Layers register what they depend on; the ops server answers `/readyz` from
 * it, and a drain turns it off before anything is closed.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Bounded from "../resilience/Bounded.ts"

/** How long one check may take before it counts as failed (ms). */
export const CHECK_DEADLINE_MS = 1_000

/** A moment's answer. `checks` is empty while draining: nothing is asked of what is being closed. */
export interface ReadinessStatus {
  readonly ready: boolean
  readonly draining: boolean
  readonly checks: Readonly<Record<string, boolean>>
}

/** The readiness of this process. */
export class Readiness extends Context.Tag("@floodgate/runtime/lifecycle/Readiness")<
  Readiness,
  {
    /**
     * Adds a check until the scope closes. One that fails, dies or takes longer than a second counts as not ready. A
     * name in use gets a number (`mysql`, `mysql-2`).
     */
    readonly register: (
      name: string,
      check: Effect.Effect<boolean>,
    ) => Effect.Effect<void, never, Scope.Scope>
    /** Runs every check, all at once. */
    readonly status: Effect.Effect<ReadinessStatus>
    /** Whether the process has begun to stop. Synchronous, for hot paths. */
    readonly isDraining: () => boolean
    /** Turns readiness off for good. */
    readonly drain: Effect.Effect<void>
  }
>() {
  /** A process without checks is ready. */
  static readonly layer: Layer.Layer<Readiness> = Layer.sync(Readiness, () => make())
}

/** `Readiness.layer`. */
export const layer: Layer.Layer<Readiness> = Readiness.layer

const bounded = (check: Effect.Effect<boolean>): Effect.Effect<boolean> =>
  check.pipe(
    // A check on a hung engine may not be interruptible: it is left behind, and the probe still gets its answer.
    Bounded.failAfter(CHECK_DEADLINE_MS, () => "too slow"),
    Effect.catchAllCause(() => Effect.succeed(false)),
  )

/** The service, with no check and not draining. */
export const make = (): Context.Tag.Service<Readiness> => {
  const checks = new Map<string, Effect.Effect<boolean>>()
  let draining = false

  const freeName = (name: string): string => {
    let free = name
    for (let n = 2; checks.has(free); n++) free = `${name}-${n}`
    return free
  }

  return {
    register: (name, check) =>
      Effect.asVoid(
        Effect.acquireRelease(
          Effect.sync(() => {
            const key = freeName(name)
            checks.set(key, check)
            return key
          }),
          (key) => Effect.sync(() => checks.delete(key)),
        ),
      ),
    status: Effect.suspend(() =>
      draining
        ? Effect.succeed<ReadinessStatus>({ ready: false, draining, checks: {} })
        : Effect.map(
            Effect.forEach(
              [...checks],
              ([name, check]) => Effect.map(bounded(check), (ok) => [name, ok] as const),
              {
                concurrency: "unbounded",
              },
            ),
            (results): ReadinessStatus => ({
              // Draining may have begun while the checks ran.
              ready: !draining && results.every(([, ok]) => ok),
              draining,
              checks: Object.fromEntries(results),
            }),
          ),
    ),
    isDraining: () => draining,
    drain: Effect.sync(() => {
      draining = true
    }),
  }
}
