/**
 * Edits and withdrawals of published products. MySQL first: from its commit on the row is what counts, and orders of an
 * older generation are rejected. Redis follows at once; where that fails, or its process dies, the opener carries on.
 */
import { Busy } from "@floodgate/contracts/errors/Errors"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Edit, Product } from "./domain/Product.ts"
import { Publishing } from "./Publishing.ts"
import { ProductStore } from "./store/ProductStore.ts"
import { ReservationStore } from "./store/ReservationStore.ts"

/** A sale counts as begun this long before its start: an edit takes a moment to reach Redis. */
const MARGIN_MS = 1_000

/** Who does it, and why. */
export interface Command {
  readonly actorId: number
  readonly reason: string
  readonly requestId: string
}

const make = Effect.gen(function* () {
  const store = yield* ProductStore
  const reservations = yield* ReservationStore
  const publishing = yield* Publishing

  const leftToOpener = (product: Product) => (error: unknown) =>
    Effect.annotateLogs(Effect.logWarning("an edit isn't in Redis yet; the opener will bring it there"), {
      product_id: product.id,
      reason: error instanceof Error ? error.message : String(error),
    })

  /**
   * Edits a product that is still at `version`. Answers it as it is in MySQL. The sale's terms only while it is a draft
   * or upcoming: WrongState.
   */
  const edit = Effect.fn("Editing.edit")(function* (
    id: number,
    change: Edit,
    version: number | undefined,
    by: Command,
  ) {
    // Redis may be a generation ahead of MySQL, by a rebuild whose commit failed.
    const held = yield* reservations.look(id).pipe(Effect.option)
    const redisGeneration = held._tag === "Some" ? held.value.generation : 0
    const nowMs = held._tag === "Some" ? held.value.server_time_ms : yield* Clock.currentTimeMillis
    const { product, warmUp } = yield* store.edit(id, change, {
      ...by,
      version,
      nowMs,
      marginMs: MARGIN_MS,
      redisGeneration,
    })
    if (!warmUp) return product
    yield* publishing
      .warm(product)
      .pipe(Effect.zipRight(publishing.open(product)), Effect.catchAll(leftToOpener(product)))
    return product
  })

  /**
   * Closes a product to new reservations for good; queued and unpaid ones go on. Answers when Redis refuses; Busy (with
   * the product's id) where that couldn't be confirmed: it is withdrawn all the same, and Redis follows.
   */
  const withdraw = Effect.fn("Editing.withdraw")(function* (id: number, by: Command) {
    const product = yield* store.withdraw(id, by)
    if (yield* store.isUnclosed(id)) {
      yield* publishing.close(product).pipe(
        Effect.catchAll((error) =>
          Effect.zipRight(
            Effect.annotateLogs(Effect.logWarning("Redis hasn't closed a withdrawn product yet"), {
              product_id: id,
              reason: error.message,
            }),
            new Busy({ retry_after_ms: 1000, id, status: "withdrawn" }),
          ),
        ),
      )
    }
    return product
  })

  return { edit, withdraw } as const
})

export class Editing extends Context.Tag("@floodgate/inventory/Editing")<
  Editing,
  Effect.Effect.Success<typeof make>
>() {
  static readonly layer = Layer.effect(Editing, make)
}
