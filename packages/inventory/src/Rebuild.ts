/** Recovery by command: has a product's shard proved equal to MySQL anew, by the recovery that works by itself as well. */
import { Busy } from "@floodgate/contracts/errors/Errors"
import * as Shards from "@floodgate/runtime/redis/Shards"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type { Command } from "./Editing.ts"
import { ProductStore } from "./store/ProductStore.ts"
import { ReservationStore, type ShardView } from "./store/ReservationStore.ts"
import { ShardSignals } from "./store/ShardSignals.ts"

/** How long a caller waits for the shard to open; a rebuild of many orders takes longer. */
const PATIENCE = "2 seconds"

export interface Rebuilt {
  readonly shard: number
  /** The recovery that last opened the shard. */
  readonly epoch: number
  /** False: still at it. */
  readonly open: boolean
}

const make = Effect.gen(function* () {
  const store = yield* ProductStore
  const reservations = yield* ReservationStore
  const signals = yield* ShardSignals

  const look = (id: number) =>
    reservations.look(id).pipe(
      Effect.catchTags({
        RedisUnavailable: () => new Busy({ retry_after_ms: 1000 }),
        RedisOutcomeUnknown: () => new Busy({ retry_after_ms: 1000 }),
        RedisScriptFailed: (error) => Effect.die(error),
      }),
    )

  /**
   * Asks for the rebuild, and waits a while for it. Several at once end in one or a few recoveries, each whole: they
   * take turns by the recovery's lease, and a higher epoch each.
   */
  const rebuild = Effect.fn("Rebuild.rebuild")(function* (id: number, by: Command) {
    const shard = Shards.shardOf(id)
    const before = yield* look(id)
    yield* store.recordRebuild(id, by)
    yield* Effect.sync(() => signals.incomplete(shard))
    const reopened = (view: ShardView) => view.shard_open && view.epoch > before.epoch
    const view = yield* look(id).pipe(
      Effect.delay("50 millis"),
      Effect.repeat({ until: reopened }),
      Effect.timeoutOption(PATIENCE),
    )
    return Option.match(view, {
      onNone: (): Rebuilt => ({ shard, epoch: before.epoch, open: false }),
      onSome: ({ epoch }): Rebuilt => ({ shard, epoch, open: true }),
    })
  })

  return { rebuild } as const
})

export class Rebuild extends Context.Tag("@floodgate/inventory/Rebuild")<
  Rebuild,
  Effect.Effect.Success<typeof make>
>() {
  static readonly layer = Layer.effect(Rebuild, make)
}
