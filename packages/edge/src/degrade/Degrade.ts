/** Applies the table of degraded answers: refuses at once what could only fail. */
import { Busy } from "@floodgate/contracts/errors/Errors"
import * as Breakers from "@floodgate/runtime/resilience/Breakers"
import * as Effect from "effect/Effect"
import type * as Degradation from "./Degradation.ts"

/** The breaker of every dependency. */
export const breakerOf: Readonly<
  Record<Degradation.Dependency, readonly [kind: Breakers.BreakerKind, instance?: string]>
> = {
  identity: ["grpc", "identity"],
  inventory: ["grpc", "inventory"],
  ordering: ["grpc", "ordering"],
  payment: ["grpc", "payment"],
  database: ["mysql"],
  limits: ["redis", "limits"],
}

/**
 * How long (ms) a route's requests are certainly refused from now on, for a dependency that it can't do without; 0 where
 * they may be tried. While a breaker lets a few through to find out, every request may be one of them.
 */
export const make: Effect.Effect<(row: Degradation.Row) => number> = Effect.gen(function* () {
  const dependencies = Object.keys(breakerOf) as ReadonlyArray<Degradation.Dependency>
  const gates = yield* Effect.forEach(dependencies, (dependency) =>
    Effect.map(Breakers.gate(...breakerOf[dependency]), (gate) => ({ dependency, gate })),
  )
  return ({ needs }) => {
    let waitMs = 0
    for (const { dependency, gate } of gates) {
      if (needs[dependency] === "busy") waitMs = Math.max(waitMs, gate.waitMs())
    }
    return waitMs
  }
})

export const busyFor = (waitMs: number): Busy => new Busy({ retry_after_ms: Math.ceil(waitMs) })
