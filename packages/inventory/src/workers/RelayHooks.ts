/** Where tests stop the relay between two of its steps. Services run with `layer`, where nothing happens. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

export class RelayHooks extends Context.Tag("@floodgate/inventory/workers/RelayHooks")<
  RelayHooks,
  {
    /** The bus took entries of this shard; their deletion is still to come. */
    readonly published: (shard: number) => Effect.Effect<void>
    /** Entries of this shard are known to be decided, and are about to be deleted. */
    readonly deleting: (shard: number) => Effect.Effect<void>
  }
>() {}

export const layer: Layer.Layer<RelayHooks> = Layer.succeed(RelayHooks, {
  published: () => Effect.void,
  deleting: () => Effect.void,
})
