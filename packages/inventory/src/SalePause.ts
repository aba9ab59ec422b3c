/**
 * Pausing and resuming all sales. MySQL remembers, and every shard obeys by itself: the reservation script looks at the
 * shard's copy of the switch, so that no process, however late or cut off, can sell past it. A shard that was emptied is
 * opened with the switch as MySQL has it; a worker brings it to those that couldn't be reached.
 */
import { Busy } from "@floodgate/contracts/errors/Errors"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { SaleSwitchStore } from "./store/SaleSwitchStore.ts"
import { ShardFence } from "./store/ShardFence.ts"

/** Shards told at once. */
const CONCURRENCY = 64

const make = Effect.gen(function* () {
  const store = yield* SaleSwitchStore
  const fence = yield* ShardFence

  /** Brings the switch to every shard that obeys an older one. Answers how many can't be reached. */
  const spread = Effect.fn("SalePause.spread")(function* () {
    const sale = yield* store.read
    // Never touched: nothing to bring.
    if (sale.revision === 0) return { sale, missing: 0 }
    const revisions = yield* fence.revisions
    const behind = revisions.flatMap((revision, shard) =>
      revision === undefined || revision < sale.revision ? [shard] : [],
    )
    const told = yield* Effect.forEach(
      behind,
      (shard) =>
        fence.obey(shard, sale).pipe(
          Effect.as(true),
          Effect.orElseSucceed(() => false),
        ),
      { concurrency: CONCURRENCY },
    )
    return { sale, missing: told.filter((ok) => !ok).length }
  })

  /**
   * Pauses or resumes, and answers when every shard obeys. Busy where some can't be reached: it is decided all the same,
   * and they obey as soon as they can.
   */
  const set = Effect.fn("SalePause.set")(function* (change: {
    readonly paused: boolean
    readonly actorId: number
    readonly reason: string
    readonly requestId: string
  }) {
    yield* store.set(change)
    const { missing, sale } = yield* spread().pipe(
      Effect.catchTags({
        RedisUnavailable: () => new Busy({ retry_after_ms: 1000 }),
        RedisOutcomeUnknown: () => new Busy({ retry_after_ms: 1000 }),
        RedisScriptFailed: (error) => Effect.die(error),
      }),
    )
    if (missing > 0) {
      yield* Effect.logWarning(
        `${missing} shards don't know yet that sales are ${sale.paused ? "paused" : "resumed"}`,
      )
      return yield* new Busy({ retry_after_ms: 1000 })
    }
    return sale
  })

  return { read: store.read, set, spread } as const
})

export class SalePause extends Context.Tag("@floodgate/inventory/SalePause")<
  SalePause,
  Effect.Effect.Success<typeof make>
>() {
  static readonly layer = Layer.effect(SalePause, make)
}
