/** Finishes stock changes whose process died between MySQL and Redis. Every process does it: each step is idempotent. */
import * as Sweep from "@floodgate/runtime/lifecycle/Sweep"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Stock } from "../Stock.ts"
import { StockStore } from "../store/StockStore.ts"

/** Whoever began it gets this long before the sweep takes over. */
const GRACE_MS = 3_000

const PAGE = 50

export const layerWith = (graceMs: number, everyMs: number) =>
  Layer.scopedDiscard(
    Effect.gen(function* () {
      const store = yield* StockStore
      const stock = yield* Stock
      let after = ""
      yield* Sweep.make({
        name: "unfinished stock changes",
        everyMs,
        maxPages: 20,
        page: Effect.gen(function* () {
          const ids = yield* store.unfinished(graceMs, after, PAGE)
          for (const id of ids) {
            yield* stock
              .settle(id)
              .pipe(Effect.catchAll((error) => Effect.logDebug("a stock change stays half done", error)))
          }
          // Those that can't be finished now must not stand before those that can.
          after = ids.length === PAGE ? ids.at(-1)! : ""
          return after !== ""
        }),
      })
    }),
  )

export const layer = layerWith(GRACE_MS, 2_000)
