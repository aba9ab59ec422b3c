/**
 * What the stores tell the workers of their own process, without waiting for them: a shard got entries, was found fenced,
 * or lacks what it should hold. Hints only: every worker also looks for itself, as other processes write to the same
 * shards.
 */
import * as Shards from "@floodgate/runtime/redis/Shards"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"

export class ShardSignals extends Context.Tag("@floodgate/inventory/store/ShardSignals")<
  ShardSignals,
  {
    /** The shard's stream got entries. */
    readonly written: (shard: number) => void
    /** The shard answered that it is fenced. */
    readonly fenced: (shard: number) => void
    /** The shard lacks something that MySQL has, whatever its fence says: it must be rebuilt. */
    readonly incomplete: (shard: number) => void
    /** Waits until the shard's stream got entries since this was last asked. For one waiter a shard. */
    readonly awaitWritten: (shard: number) => Effect.Effect<void>
    /** The next shard that got entries while nobody waited for it by `awaitWritten`. */
    readonly takeUnattended: Effect.Effect<number>
    /** Says whether somebody waits for this shard by `awaitWritten`. */
    readonly attend: (shard: number, attended: boolean) => Effect.Effect<void>
    /** Waits until at least one shard is told fenced or incomplete, and takes all that were told fenced. */
    readonly takeFenced: Effect.Effect<ReadonlyArray<number>>
    /** Takes all that were told incomplete. */
    readonly takeIncomplete: Effect.Effect<ReadonlyArray<number>>
  }
>() {}

/** The signals of one process. */
export const layer: Layer.Layer<ShardSignals> = Layer.effect(
  ShardSignals,
  Effect.gen(function* () {
    // A signal that is there already says it all: sliding queues of one keep the newest and never grow.
    const written: Array<Queue.Queue<void>> = []
    for (let shard = 0; shard < Shards.SHARDS; shard++) written.push(yield* Queue.sliding<void>(1))
    const attended = new Uint8Array(Shards.SHARDS)
    const announced = new Uint8Array(Shards.SHARDS)
    const unattended = yield* Queue.sliding<number>(Shards.SHARDS)
    const fenced = new Set<number>()
    const incomplete = new Set<number>()
    const wake = yield* Queue.sliding<void>(1)
    return ShardSignals.of({
      written: (shard) => {
        if (attended[shard] === 1) {
          written[shard]!.unsafeOffer(undefined)
        } else if (announced[shard] === 0) {
          announced[shard] = 1
          unattended.unsafeOffer(shard)
        }
      },
      fenced: (shard) => {
        fenced.add(shard)
        wake.unsafeOffer(undefined)
      },
      incomplete: (shard) => {
        incomplete.add(shard)
        wake.unsafeOffer(undefined)
      },
      awaitWritten: (shard) => Queue.take(written[shard]!),
      takeUnattended: Effect.map(Queue.take(unattended), (shard) => {
        announced[shard] = 0
        return shard
      }),
      attend: (shard, yes) =>
        Effect.sync(() => {
          attended[shard] = yes ? 1 : 0
        }),
      takeFenced: Effect.map(Queue.take(wake), () => {
        const shards = [...fenced]
        fenced.clear()
        return shards
      }),
      takeIncomplete: Effect.sync(() => {
        const shards = [...incomplete]
        incomplete.clear()
        return shards
      }),
    })
  }),
)
