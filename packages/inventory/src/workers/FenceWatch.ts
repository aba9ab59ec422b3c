/**
 * Notices that shards must be recovered: at once where a reservation was answered FENCED, else by looking at every fence
 * and every server's run twice a second. A server that was emptied, restarted, restored or failed over shows here.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { ShardFence } from "../store/ShardFence.ts"
import { ShardSignals } from "../store/ShardSignals.ts"
import * as RecoveryMetrics from "./RecoveryMetrics.ts"
import * as Trouble from "./Trouble.ts"

/** How often all fences are looked at, in ms. */
export const LOOK_EVERY_MS = 500

export interface Found {
  readonly closed: ReadonlySet<number>
  /** Open by their fence, but told to lack something that MySQL has. */
  readonly incomplete: ReadonlyArray<number>
}

/** The watch of this process. */
export const make = Effect.gen(function* () {
  const fence = yield* ShardFence
  const signals = yield* ShardSignals
  const trouble = Trouble.make("looking at the shards' fences")

  const look = (suspects: ReadonlySet<number>) =>
    fence.closed(suspects).pipe(
      Effect.tap((shards) => {
        RecoveryMetrics.foundClosed(shards.length)
        return trouble.worked
      }),
      Effect.catchAll((error) => Effect.as(trouble.failed(error), [] as ReadonlyArray<number>)),
    )

  /** Answers as soon as there are shards to recover. */
  const next: Effect.Effect<Found> = Effect.gen(function* () {
    let suspects: ReadonlySet<number> = new Set()
    while (true) {
      const closed = new Set(yield* look(suspects))
      const incomplete = yield* signals.takeIncomplete
      if (closed.size > 0 || incomplete.length > 0) return { closed, incomplete }
      const told = yield* Effect.timeoutOption(signals.takeFenced, LOOK_EVERY_MS)
      suspects = new Set(Option.getOrElse(told, () => []))
    }
  })

  return { next } as const
})
