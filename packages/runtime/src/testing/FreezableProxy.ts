/** A proxy of a test's scope that can stop passing bytes on, so that a test can freeze an engine that others use. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { FaultProxy } from "./FaultProxy.ts"

export interface FreezableProxy {
  readonly port: number
  /** Nothing passes any more, in either direction; connections are still accepted, and stay open. */
  readonly freeze: Effect.Effect<void>
  /** What was held back passes, and everything after it. */
  readonly thaw: Effect.Effect<void>
  /** Breaks every connection. */
  readonly cut: Effect.Effect<void>
}

export const make = (target: {
  readonly host: string
  readonly port: number
}): Effect.Effect<FreezableProxy, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.promise(() => FaultProxy.open(target)),
      (proxy) => Effect.promise(() => proxy.close()),
    ),
    (proxy) => ({
      port: proxy.port,
      freeze: Effect.sync(() => proxy.set({ frozen: true })),
      thaw: Effect.sync(() => proxy.set({ frozen: false })),
      cut: Effect.sync(() => proxy.reset()),
    }),
  )
