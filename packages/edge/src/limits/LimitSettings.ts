/**
 * The numbers in force: those of the table, but for what was changed. While the database can't be read, the last known
 * numbers hold, at first those of the table.
 */
import type { Busy, StaleVersion } from "@floodgate/contracts/errors/Errors"
import type { LimitName } from "@floodgate/contracts/http/AdminLimit"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Watched from "../settings/Watched.ts"
import type * as Bucket from "./Bucket.ts"
import { type Change, LimitStore, type Setting } from "./LimitStore.ts"
import { hasProducts, table } from "./LimitTable.ts"

export class LimitSettings extends Context.Tag("@floodgate/edge/limits/LimitSettings")<
  LimitSettings,
  {
    /** What holds for a key of a limit now; `key` matters only where products have limits of their own. */
    readonly rateOf: (name: LimitName, key: string | number) => Bucket.Rate
    /** Rises with every change that this edge has taken in: what was derived from older numbers is void. */
    readonly epoch: () => number
    /** Changes a limit; in force here with the answer, and on every other edge within a second. */
    readonly change: (change: Change) => Effect.Effect<Setting, StaleVersion | Busy>
    /** Every limit that isn't at its default, as the database has it. */
    readonly list: Effect.Effect<ReadonlyArray<Setting>, Busy>
  }
>() {}

const perSecond = (name: LimitName, { burst, rate }: { rate: number; burst: number }): Bucket.Rate => ({
  rate: rate / table[name].periodS,
  burst,
})

export const make = Effect.gen(function* () {
  const store = yield* LimitStore
  const names = Object.keys(table) as ReadonlyArray<LimitName>
  const byName = new Map<LimitName, Bucket.Rate>(names.map((name) => [name, perSecond(name, table[name])]))
  let byProduct = new Map<number, Bucket.Rate>()
  let epoch = 0

  const round = yield* Watched.make({
    what: "changes of limits",
    revision: store.revision,
    load: Effect.map(store.list, (settings) => {
      const products = new Map<number, Bucket.Rate>()
      for (const name of names) byName.set(name, perSecond(name, table[name]))
      for (const setting of settings) {
        const rate = perSecond(setting.name, setting)
        if (setting.productId === undefined) byName.set(setting.name, rate)
        else products.set(setting.productId, rate)
      }
      byProduct = products
      epoch++
    }),
  })

  return LimitSettings.of({
    rateOf: (name, key) =>
      (hasProducts(name) ? byProduct.get(key as number) : undefined) ?? byName.get(name)!,
    epoch: () => epoch,
    change: (change) => Effect.tap(store.change(change), () => round),
    list: store.list,
  })
})

export const layer = Layer.scoped(LimitSettings, make)
