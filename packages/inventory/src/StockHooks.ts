/** Where tests stop a stock change between its halves. Services run with `layer`, where nothing happens. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Adjustment } from "./store/StockStore.ts"

export class StockHooks extends Context.Tag("@floodgate/inventory/StockHooks")<
  StockHooks,
  {
    /** MySQL has the intention (and an increase), Redis hasn't been asked. */
    readonly begun: (id: string) => Effect.Effect<void>
    /** Redis answered, MySQL hasn't been told. */
    readonly asked: (adjustment: Adjustment) => Effect.Effect<void>
  }
>() {}

export const layer: Layer.Layer<StockHooks> = Layer.succeed(StockHooks, {
  begun: () => Effect.void,
  asked: () => Effect.void,
})
