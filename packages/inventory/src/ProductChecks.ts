/** What a sale of one product depends on, checked now: for operators before the doors open. */
import { NotFound } from "@floodgate/contracts/errors/Errors"
import { Mysql } from "@floodgate/runtime/mysql/Mysql"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { checksOf } from "./domain/Checks.ts"
import { ProductStore } from "./store/ProductStore.ts"
import { ReservationStore } from "./store/ReservationStore.ts"
import { SaleSwitchStore } from "./store/SaleSwitchStore.ts"
import { StockStore } from "./store/StockStore.ts"

const make = Effect.gen(function* () {
  const products = yield* ProductStore
  const reservations = yield* ReservationStore
  const saleSwitch = yield* SaleSwitchStore
  const stock = yield* StockStore
  const mysql = yield* Mysql
  const { sql } = mysql

  /** How long the oldest event that isn't on the bus has waited, ms; 0 where there is none. */
  const outboxLag = mysql.run(
    "checks.outbox",
    sql<{ lag: number | null }>`
      SELECT CAST(MAX(TIMESTAMPDIFF(MICROSECOND, created_at, UTC_TIMESTAMP(3)) DIV 1000) AS SIGNED) AS lag FROM outbox
      WHERE bucket BETWEEN 0 AND 15 AND sent_at IS NULL`.pipe(Effect.map(([row]) => row?.lag ?? 0)),
  )

  const check = Effect.fn("ProductChecks.check")(function* (id: number) {
    const product = (yield* products.find(id)) ?? (yield* new NotFound())
    const held = yield* reservations.look(id).pipe(Effect.option, Effect.map(Option.getOrUndefined))
    const sale = yield* saleSwitch.read
    const unfinished = (yield* stock.sums([id])).get(id)?.unfinished ?? 0
    return checksOf({ product, held, paused: sale.paused, unfinished, outboxLagMs: yield* outboxLag })
  })

  return { check } as const
})

export class ProductChecks extends Context.Tag("@floodgate/inventory/ProductChecks")<
  ProductChecks,
  Effect.Effect.Success<typeof make>
>() {
  static readonly layer = Layer.effect(ProductChecks, make)
}
