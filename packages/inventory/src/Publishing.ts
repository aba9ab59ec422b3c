/** Publishing: a draft in MySQL, warmed up in Redis under a generation of its own, then confirmed and sellable. */
import { createHash } from "node:crypto"
import { Busy, NotFound, WrongState } from "@floodgate/contracts/errors/Errors"
import * as CrashPoint from "@floodgate/runtime/lifecycle/CrashPoint"
import * as Instrument from "@floodgate/runtime/metrics/Instrument"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { type Draft, type Product, problemsOf } from "./domain/Product.ts"
import { ProductStore, type PublishKey } from "./store/ProductStore.ts"
import { ReservationStore } from "./store/ReservationStore.ts"

/** A warm-up that others overtake is tried this often. */
const WARM_UP_TRIES = 5

/** What the log says, at level error, where a warm-up failed: alerts look for it. */
export const WARM_UP_FAILED = "warm-up failed; the product stays a draft"

/** How long a form counts as sent twice, and how long a key is remembered. Seconds. */
const REPEAT_S = 10
const KEY_S = 24 * 3600

const hash = (text: string) => createHash("sha256").update(text).digest("hex")

const keyOf = (
  draft: Draft,
  idempotencyKey: string,
  bodyHash: string,
  cloneOf: number | undefined,
): PublishKey =>
  idempotencyKey === ""
    ? {
        scope: `form:${draft.publisherId}`,
        keyHash: hash(JSON.stringify([draft.name.trim(), draft.startTimeMs])),
        bodyHash,
        lifetimeS: REPEAT_S,
        onRepeat: "refuse",
      }
    : {
        // A key is scoped to its path: the same one on two paths is two wishes.
        scope:
          cloneOf === undefined ? `publish:${draft.publisherId}` : `clone:${draft.publisherId}:${cloneOf}`,
        keyHash: hash(idempotencyKey),
        bodyHash,
        lifetimeS: KEY_S,
        onRepeat: "replay",
      }

/** Other warm-ups of the same draft, or edits of it, came in between every time. */
class Overtaken extends Data.TaggedError("Overtaken")<{ readonly product_id: number }> {
  override get message(): string {
    return `product ${this.product_id}: every warm-up was overtaken by another`
  }
}

const warmUpFailures = Instrument.counter(
  "floodgate_warmup_failures_total",
  "Warm-ups that left a product a draft",
  {},
)

const make = Effect.gen(function* () {
  const store = yield* ProductStore
  const reservations = yield* ReservationStore

  /** One try at a warm-up; undefined where another one overtook it. */
  const warmOnce = Effect.fnUntraced(function* (id: number, actorId: number, reason: string) {
    const draft = yield* store.beginWarmUp(id)
    if (draft !== undefined) {
      const overtaken = yield* warm(draft).pipe(
        Effect.as(false),
        Effect.catchTag("GenerationConflict", () => Effect.succeed(true)),
      )
      if (overtaken) return undefined
      if (globalThis.__FLOODGATE_FAULTS__) yield* CrashPoint.hit("warmup.loaded")
      yield* store.confirmWarmUp(draft.id, draft.generation, actorId, reason)
    }
    const product = (yield* store.find(id)) ?? (yield* new NotFound())
    return product.state === "draft" ? undefined : product
  })

  /**
   * Redis first, closed and under a generation that nobody else has; then MySQL; then Redis is opened. Whoever dies in
   * between leaves a product that nobody can buy: a draft to warm up again, or one that the opener opens.
   */
  const warmDraft = Effect.fn("Publishing.warmDraft")(function* (
    id: number,
    actorId: number,
    reason: string,
  ) {
    for (let left = WARM_UP_TRIES; left > 0; left--) {
      const product = yield* warmOnce(id, actorId, reason)
      if (product === undefined) continue
      if (globalThis.__FLOODGATE_FAULTS__) yield* CrashPoint.hit("warmup.confirmed")
      if (product.state === "published") yield* open(product)
      return product
    }
    return yield* new Overtaken({ product_id: id })
  })

  /** Writes a product into Redis as its row is, closed to reservations. */
  const warm = (product: Product) =>
    reservations.warmUp({
      product_id: product.id,
      generation: product.generation,
      start_ms: product.startTimeMs,
      end_ms: product.endTimeMs,
      per_user_limit: product.perUserLimit,
      price: product.price,
      stock: product.stock,
    })

  /** Opens a published product in Redis, and records that it is done. */
  const open = Effect.fn("Publishing.open")(function* (
    product: Pick<Product, "id" | "generation" | "version">,
  ) {
    yield* reservations.setOpen(product.id, product.generation, true, product.version)
    yield* store.opened(product.id, product.version)
  })

  /** Closes a withdrawn product in Redis, and records that it is done. */
  const close = Effect.fn("Publishing.close")(function* (
    product: Pick<Product, "id" | "generation" | "version">,
  ) {
    yield* reservations.setOpen(product.id, product.generation, false, product.version).pipe(
      // A later generation was loaded by a rebuild, which saw that the product is withdrawn.
      Effect.catchTag("GenerationConflict", (conflict) =>
        conflict.found > product.generation ? Effect.void : Effect.fail(conflict),
      ),
    )
    yield* store.closed(product.id)
  })

  const warmUpOrBusy = (id: number, actorId: number, reason = ""): Effect.Effect<Product, Busy | NotFound> =>
    warmDraft(id, actorId, reason).pipe(
      Effect.catchIf(
        (error): error is Exclude<typeof error, NotFound> => error._tag !== "NotFound",
        (error) =>
          Effect.logError(WARM_UP_FAILED, error).pipe(
            Effect.annotateLogs({ product_id: id }),
            Effect.zipRight(Effect.sync(() => warmUpFailures.inc({}))),
            Effect.zipRight(new Busy({ retry_after_ms: 1000, id, status: "draft" })),
          ),
      ),
    )

  const publish = Effect.fn("Publishing.publish")(function* (
    draft: Draft,
    idempotencyKey: string,
    bodyHash: string,
    clone?: { readonly of: number; readonly reason: string },
  ) {
    const nowMs = yield* reservations.serverTime.pipe(Effect.orElse(() => Clock.currentTimeMillis))
    const problems = problemsOf(draft, nowMs)
    const key = keyOf(draft, idempotencyKey, bodyHash, clone?.of)
    // Held against new forms only: one that was taken before its start is answered to its key after it, too.
    const { product, replayed } = yield* store.create(draft, key, clone, problems)
    // A key whose first request died before the warm-up was confirmed finishes it now.
    if (product.state !== "draft") return { product, replayed }
    return {
      product: yield* warmUpOrBusy(product.id, draft.publisherId).pipe(
        Effect.catchTag("NotFound", (error) => Effect.die(error)),
      ),
      replayed,
    }
  })

  /** Publishes a copy of a product: its times are new, the rest is the source's unless said. */
  const clone = Effect.fn("Publishing.clone")(function* (
    id: number,
    change: Pick<Draft, "startTimeMs" | "endTimeMs" | "publisherId"> & Partial<Pick<Draft, "name" | "stock">>,
    by: { readonly reason: string; readonly idempotencyKey: string; readonly bodyHash: string },
  ) {
    const source = (yield* store.find(id)) ?? (yield* new NotFound())
    const draft: Draft = {
      name: source.name,
      description: source.description,
      price: source.price,
      originalPrice: source.originalPrice,
      stock: source.initialStock,
      perUserLimit: source.perUserLimit,
      image: source.image,
      accessChallenge: source.accessChallenge,
      accessWaitingRoom: source.accessWaitingRoom,
      ...change,
    }
    return yield* publish(draft, by.idempotencyKey, by.bodyHash, { of: id, reason: by.reason })
  })

  /** Finishes what a publish began; `actorId` is whoever asks for it, 0 for a service. */
  const warmUp = Effect.fn("Publishing.warmUp")(function* (id: number, actorId: number, reason = "") {
    const product = yield* store.find(id)
    if (product === undefined) return yield* new NotFound()
    if (product.state !== "draft") return yield* new WrongState({ state: product.state })
    return yield* warmUpOrBusy(id, actorId, reason)
  })

  return { publish, clone, warmUp, warm, open, close } as const
})

export class Publishing extends Context.Tag("@floodgate/inventory/Publishing")<
  Publishing,
  Effect.Effect.Success<typeof make>
>() {
  static readonly layer = Layer.effect(Publishing, make)
}
