/** Publishing: a draft in MySQL, warmed up in Redis under a generation of its own, then confirmed and sellable. */
import { createHash } from "node:crypto"
import { Busy, InvalidInput, NotFound, WrongState } from "@floodgate/contracts/errors/Errors"
import * as CrashPoint from "@floodgate/runtime/lifecycle/CrashPoint"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { type Draft, type Product, problemsOf } from "./domain/Product.ts"
import { ProductStore, type PublishKey } from "./store/ProductStore.ts"
import { ReservationStore } from "./store/ReservationStore.ts"

/** How long a form counts as sent twice, and how long a key is remembered. Seconds. */
const REPEAT_S = 10
const KEY_S = 24 * 3600

const hash = (text: string) => createHash("sha256").update(text).digest("hex")

const keyOf = (draft: Draft, idempotencyKey: string, bodyHash: string): PublishKey =>
  idempotencyKey === ""
    ? {
        scope: `form:${draft.publisherId}`,
        keyHash: hash(JSON.stringify([draft.name.trim(), draft.startTimeMs])),
        bodyHash,
        lifetimeS: REPEAT_S,
        onRepeat: "refuse",
      }
    : {
        scope: `publish:${draft.publisherId}`,
        keyHash: hash(idempotencyKey),
        bodyHash,
        lifetimeS: KEY_S,
        onRepeat: "replay",
      }

const make = Effect.gen(function* () {
  const store = yield* ProductStore
  const reservations = yield* ReservationStore

  /**
   * Redis first, closed and under a generation that nobody else has; then MySQL; then Redis is opened. Whoever dies in
   * between leaves a product that nobody can buy: a draft to warm up again, or one that the opener opens.
   */
  const warmDraft = Effect.fn("Publishing.warmDraft")(function* (id: number, actorId: number) {
    const draft = yield* store.beginWarmUp(id)
    if (draft !== undefined) {
      yield* reservations.warmUp({
        product_id: draft.id,
        generation: draft.generation,
        start_ms: draft.startTimeMs,
        end_ms: draft.endTimeMs,
        per_user_limit: draft.perUserLimit,
        price: draft.price,
        stock: draft.stock,
      })
      if (globalThis.__FLOODGATE_FAULTS__) yield* CrashPoint.hit("warmup.loaded")
      yield* store.confirmWarmUp(draft.id, draft.generation, actorId)
    }
    if (globalThis.__FLOODGATE_FAULTS__) yield* CrashPoint.hit("warmup.confirmed")
    const product = (yield* store.find(id)) ?? (yield* new NotFound())
    if (product.state === "published") yield* open(product)
    return product
  })

  const open = Effect.fn("Publishing.open")(function* (product: Pick<Product, "id" | "generation">) {
    yield* reservations.setOpen(product.id, product.generation, true)
    yield* store.opened(product.id)
  })

  const warmUpOrBusy = (id: number, actorId: number): Effect.Effect<Product, Busy | NotFound> =>
    warmDraft(id, actorId).pipe(
      Effect.catchIf(
        (error): error is Exclude<typeof error, NotFound> => error._tag !== "NotFound",
        (error) =>
          Effect.logError("warm-up failed; the product stays a draft", error).pipe(
            Effect.annotateLogs({ product_id: id }),
            Effect.zipRight(new Busy({ retry_after_ms: 1000, id, status: "draft" })),
          ),
      ),
    )

  const publish = Effect.fn("Publishing.publish")(function* (
    draft: Draft,
    idempotencyKey: string,
    bodyHash: string,
  ) {
    const nowMs = yield* reservations.serverTime.pipe(Effect.orElse(() => Clock.currentTimeMillis))
    const problems = problemsOf(draft, nowMs)
    const key = keyOf(draft, idempotencyKey, bodyHash)
    if (problems.length > 0) return yield* new InvalidInput({ issues: [...problems] })
    const { product, replayed } = yield* store.create(draft, key)
    // A key whose first request died before the warm-up was confirmed finishes it now.
    if (product.state !== "draft") return { product, replayed }
    return {
      product: yield* warmUpOrBusy(product.id, draft.publisherId).pipe(
        Effect.catchTag("NotFound", (error) => Effect.die(error)),
      ),
      replayed,
    }
  })

  /** Finishes what a publish began; `actorId` is whoever asks for it, 0 for a service. */
  const warmUp = Effect.fn("Publishing.warmUp")(function* (id: number, actorId: number) {
    const product = yield* store.find(id)
    if (product === undefined) return yield* new NotFound()
    if (product.state !== "draft") return yield* new WrongState({ state: product.state })
    return yield* warmUpOrBusy(id, actorId)
  })

  return { publish, warmUp, open } as const
})

export class Publishing extends Context.Tag("@floodgate/inventory/Publishing")<
  Publishing,
  Effect.Effect.Success<typeof make>
>() {
  static readonly layer = Layer.effect(Publishing, make)
}
