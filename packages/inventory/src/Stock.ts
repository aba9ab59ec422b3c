/**
 * Stock changes by operators. An increase is in MySQL first, then in Redis; a decrease in Redis first (refused where too
 * few are left), then in MySQL: so Redis never has more than MySQL. Every step is keyed by the change's id, and who dies
 * between two leaves a row that the sweep carries on with; any number of processes may be at the same change.
 *
 * Between the two steps the shard may be rebuilt. It then holds MySQL's stock under a new generation: an increase is in
 * it already, a decrease is not, and is asked for anew.
 */
import { Busy, IdempotencyMismatch, WrongState } from "@floodgate/contracts/errors/Errors"
import * as Shards from "@floodgate/runtime/redis/Shards"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import { Catalog } from "./Catalog.ts"
import { StockHooks } from "./StockHooks.ts"
import { ReservationStore } from "./store/ReservationStore.ts"
import { ShardSignals } from "./store/ShardSignals.ts"
import { type Adjustment, type StockChange, StockStore, type Verdict } from "./store/StockStore.ts"

/** Redis doesn't hold the product at the generation that MySQL has: a rebuild or an edit is under way. */
export class NotThereYet extends Data.TaggedError("NotThereYet")<{
  readonly product_id: number
  readonly found: number
}> {
  override get message(): string {
    return `product ${this.product_id}: Redis is at generation ${this.found}`
  }
}

/** How often one change may be asked for anew because a rebuild came in between. */
const TRIES = 8

/** How long a caller waits for both halves, before a worker goes on alone. */
const PATIENCE = "2500 millis"

const RETRY_AFTER_MS = 1_000

const make = Effect.gen(function* () {
  const stock = yield* StockStore
  const reservations = yield* ReservationStore
  const catalog = yield* Catalog
  const signals = yield* ShardSignals
  const hooks = yield* StockHooks

  /** Asks Redis once, in the generation that counts. */
  const ask = Effect.fnUntraced(function* (
    pending: Adjustment & { readonly productGeneration: number; readonly retired: boolean },
  ) {
    const { delta, id, productId, retired } = pending
    const increase = delta > 0
    const generation = increase ? pending.generation : pending.productGeneration
    const answer = yield* reservations.adjust({ product_id: productId, generation, id, delta })
    switch (answer._tag) {
      case "done":
        return { done: true, left: 0, generation, held: answer } satisfies Verdict
      case "refused":
        return { done: false, left: answer.left, generation, held: undefined } satisfies Verdict
      case "otherGeneration":
        // Loaded from MySQL after the increase was in it.
        if (increase && answer.current > generation) {
          return { done: true, left: 0, generation: answer.current, held: undefined } satisfies Verdict
        }
        if (answer.current === 0 && retired) return yield* withoutRedis(pending)
        return yield* new NotThereYet({ product_id: productId, found: answer.current })
    }
  })

  /** A sale long over, which Redis has let go. */
  const withoutRedis = Effect.fnUntraced(function* ({ delta, productId }: Adjustment) {
    const { product } = yield* catalog.get(productId).pipe(Effect.catchTag("NotFound", Effect.die))
    return {
      done: product.stock + delta >= 0,
      left: product.stock,
      generation: undefined,
      held: undefined,
    } satisfies Verdict
  })

  /**
   * Carries a change to its end, from wherever it stands. Fails where an engine is away, or Redis is being rebuilt:
   * then it is still to be done.
   */
  const settle = Effect.fn("Stock.settle")(function* (id: string) {
    for (let left = TRIES; left > 0; left--) {
      const pending = (yield* stock.find(id)) ?? (yield* Effect.dieMessage(`no stock adjustment ${id}`))
      if (pending.state === "applied" || pending.state === "refused") return pending as Adjustment
      const verdict = yield* ask(pending)
      yield* hooks.asked(pending)
      const finished = yield* stock.finish(id, verdict)
      if (finished === undefined) continue
      if (finished.impossible) {
        // Redis sold from a stock that MySQL doesn't have: nothing but a rebuild mends that.
        yield* Effect.annotateLogs(Effect.logError("Redis gave away stock that MySQL doesn't have"), {
          product_id: pending.productId,
        })
        signals.incomplete(Shards.shardOf(pending.productId))
      }
      return finished.adjustment
    }
    const { productId } = (yield* stock.find(id))!
    return yield* new NotThereYet({ product_id: productId, found: 0 })
  })

  const busy = (message: string, productId: number) => (error: unknown) =>
    Effect.zipRight(
      Effect.annotateLogs(Effect.logWarning(message), {
        product_id: productId,
        reason: error instanceof Error ? error.message : String(error),
      }),
      new Busy({ retry_after_ms: RETRY_AFTER_MS }),
    )

  /** Nothing is begun on a shard that is closed: whoever is told "busy" then knows that nothing will happen. */
  const requireOpen = (productId: number) =>
    reservations.look(productId).pipe(
      Effect.filterOrFail(
        (view) => view.shard_open,
        () => new Busy({ retry_after_ms: RETRY_AFTER_MS }),
      ),
      Effect.catchTags({
        RedisUnavailable: busy("a stock change found no Redis", productId),
        RedisOutcomeUnknown: busy("a stock change found no Redis", productId),
        RedisScriptFailed: (error) => Effect.die(error),
      }),
    )

  /**
   * Changes a product's stock once per id, and answers when both stores have it. WrongState (with what is left) where a
   * decrease asks for more than Redis has; Busy where the shard is closed (nothing was begun), or where the other half
   * could not be done in time (it will be; the same id tells).
   */
  const change = Effect.fn("Stock.change")(function* (wish: StockChange) {
    const seen = yield* stock.find(wish.id)
    if (seen !== undefined && (seen.bodyHash !== wish.bodyHash || seen.productId !== wish.productId)) {
      return yield* new IdempotencyMismatch()
    }
    if (seen === undefined) {
      const { product } = yield* catalog.get(wish.productId)
      if (product.state === "draft") return yield* new WrongState({ state: "draft" })
      yield* requireOpen(wish.productId)
    }
    const { known } = yield* stock.begin(wish)
    yield* hooks.begun(wish.id)
    const ended = yield* settle(wish.id).pipe(
      Effect.retry(Schedule.spaced("100 millis")),
      Effect.timeoutFail({
        duration: PATIENCE,
        onTimeout: () => new NotThereYet({ product_id: wish.productId, found: 0 }),
      }),
      Effect.catchAll(busy("a stock change is half done; a worker will finish it", wish.productId)),
    )
    const shown = yield* catalog.get(wish.productId)
    if (ended.state === "refused") {
      return yield* new WrongState({ state: shown.status, left: ended.left ?? 0 })
    }
    return { shown, replayed: known }
  })

  return { change, settle } as const
})

export class Stock extends Context.Tag("@floodgate/inventory/Stock")<
  Stock,
  Effect.Effect.Success<typeof make>
>() {
  static readonly layer = Layer.effect(Stock, make)
}
