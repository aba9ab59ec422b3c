/**
 * Products in this process, encoded and ready to send: in a rush everybody reads the same few. Less than half a second
 * old; one call to inventory an id, however many ask; ids that don't exist are remembered too, so that a flood of them
 * stays here, apart from the products and with calls of its own, so that it takes neither room nor turns from them.
 *
 * While inventory can't answer, the last known copy is served for some minutes, with its age; its status goes on with the
 * sale's clock.
 */
import { createHash } from "node:crypto"
import { Busy, type Internal, type InvalidInput, NotFound } from "@floodgate/contracts/errors/Errors"
import type { Product as Message } from "@floodgate/contracts/gen/floodgate/inventory/v1/inventory_pb"
import { Envelope } from "@floodgate/contracts/http/Envelope"
import { Product } from "@floodgate/contracts/http/Product"
import { InventoryClient } from "@floodgate/contracts/rpc/InventoryClient"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import * as FiberSet from "effect/FiberSet"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import * as Schema from "effect/Schema"
import * as Degradation from "../degrade/Degradation.ts"
import { fromPeer } from "../handlers/Peer.ts"
import { ServerClock } from "../seckill/ServerClock.ts"
import * as ProductMetrics from "./ProductMetrics.ts"
import * as ProductView from "./ProductView.ts"

/** Products held, and unknown ids held. */
export const CAPACITY = 10_000
/** Calls to inventory under way for products that are known, the others wait. */
const MAX_REFRESHES = 256
/** Calls under way for ids of which nothing is known, and ids that wait for one; more are refused. */
const MAX_DISCOVERIES = 64
export const MAX_UNKNOWN_WAITING = 1_024
/** A known product is waited for so long (ms) before its last copy is served. */
const PATIENCE_MS = 1_500
/** A product's life (ms), jittered so that a crowd of them doesn't expire as one. */
const MIN_LIFE_MS = 200
const MAX_LIFE_MS = 400
/** How old what `peek` shows may get before it is asked for again (ms): thousands of products are peeked at in a rush. */
const PEEK_LIFE_MS = 5_000
/** An unknown id's life (ms): ids are given in order, and one that is published here is dropped from the list. */
const MIN_UNKNOWN_LIFE_MS = 4_000
const MAX_UNKNOWN_LIFE_MS = 5_000

/** The answer to a read of one product. */
export interface CachedProduct {
  /** The envelope, encoded. */
  readonly body: Uint8Array
  readonly etag: string
  /** Seconds since inventory said so, where it can't be asked now. */
  readonly staleS?: number
}

export type ReadError = NotFound | Busy | Internal | InvalidInput

export class ProductCache extends Context.Tag("@floodgate/edge/products/ProductCache")<
  ProductCache,
  {
    readonly get: (productId: number) => Effect.Effect<CachedProduct, ReadError>
    /** What {@link get} would answer at once from a fresh copy; undefined where there is none. */
    readonly held: (productId: number) => CachedProduct | undefined
    /** The product itself, as old as what {@link get} answers. */
    readonly messageOf: (productId: number) => Effect.Effect<Message, ReadError>
    /**
     * The product as last known, without waiting; asked for again in the background where that was a while ago. For
     * what hardly ever changes. Undefined where nothing is known.
     */
    readonly peek: (productId: number) => Message | undefined
    /** Takes in what a write has just answered. */
    readonly put: (message: Message) => Effect.Effect<void>
  }
>() {}

interface Known {
  readonly message: Message
  readonly value: CachedProduct
  /** When inventory said so. */
  readonly fetchedMs: number
  readonly expiresMs: number
}

/** Insertion-ordered, so that the oldest goes first. */
const store = <A>(map: Map<number, A>, id: number, entry: A): void => {
  map.delete(id)
  if (map.size >= CAPACITY) map.delete(map.keys().next().value!)
  map.set(id, entry)
}

const encode = Schema.encodeSync(Envelope(Product))

const render = (message: Message, nowMs: number): CachedProduct => {
  const body = Buffer.from(JSON.stringify(encode(ProductView.of(message, nowMs))))
  // Weak: the bytes on the wire may be compressed.
  const etag = `W/"${createHash("sha256").update(body).digest("base64url").slice(0, 22)}"`
  return { body, etag }
}

export const make = Effect.gen(function* () {
  const inventory = yield* InventoryClient
  const serverClock = yield* ServerClock
  const clock = yield* Effect.clock
  const scope = yield* Effect.scope
  const run = yield* FiberSet.makeRuntime<never>()
  const refreshes = yield* Effect.makeSemaphore(MAX_REFRESHES)
  const discoveries = yield* Effect.makeSemaphore(MAX_DISCOVERIES)
  const known = new Map<number, Known>()
  /** Until when an id is known not to exist. */
  const missing = new Map<number, number>()
  const pending = new Map<number, Deferred.Deferred<CachedProduct, ReadError>>()
  let discovering = 0

  const nowMs = () => clock.unsafeCurrentTimeMillis()

  const keep = Effect.fnUntraced(function* (message: Message, fetchedMs: number) {
    const serverNowMs = serverClock.nowMs()
    const value = render(message, serverNowMs)
    const lifeMs = yield* Random.nextIntBetween(MIN_LIFE_MS, MAX_LIFE_MS)
    const untilChangeMs = ProductView.nextChangeMs(message, serverNowMs) - serverNowMs
    const entry = { message, value, fetchedMs, expiresMs: nowMs() + Math.min(lifeMs, untilChangeMs) }
    store(known, Number(message.id), entry)
    return entry
  })

  const remember = (message: Message) =>
    Effect.suspend(() => {
      missing.delete(Number(message.id))
      return Effect.map(keep(message, nowMs()), ({ value }) => value)
    })

  const rememberMissing = (id: number) =>
    Effect.map(Random.nextIntBetween(MIN_UNKNOWN_LIFE_MS, MAX_UNKNOWN_LIFE_MS), (lifeMs) => {
      known.delete(id)
      store(missing, id, nowMs() + lifeMs)
    })

  const load = (id: number) =>
    fromPeer(inventory.getProduct({ productId: BigInt(id) })).pipe(
      Effect.flatMap(remember),
      Effect.tapErrorTag("NotFound", () => rememberMissing(id)),
    )

  const discover = (id: number) =>
    Effect.suspend((): Effect.Effect<CachedProduct, ReadError> => {
      if (discovering >= MAX_UNKNOWN_WAITING) return new Busy({})
      discovering++
      return Effect.ensuring(
        discoveries.withPermits(1)(load(id)),
        Effect.sync(() => {
          discovering--
        }),
      )
    })

  // The lookup belongs to all who wait for it: it goes on when the one who began it leaves, and it begins for sure once
  // it is announced.
  const lookup = (id: number): Effect.Effect<CachedProduct, ReadError> =>
    Effect.uninterruptibleMask((restore) => {
      const waiting = pending.get(id)
      if (waiting !== undefined) return restore(Deferred.await(waiting))
      const deferred = Deferred.unsafeMake<CachedProduct, ReadError>(FiberId.none)
      pending.set(id, deferred)
      const work = known.has(id) ? refreshes.withPermits(1)(load(id)) : discover(id)
      return Effect.zipRight(
        Effect.forkIn(
          Effect.onExit(Effect.interruptible(work), (exit) => {
            pending.delete(id)
            return Deferred.done(deferred, exit)
          }),
          scope,
        ),
        restore(Deferred.await(deferred)),
      )
    })

  const age = (entry: Known): CachedProduct => ({
    ...entry.value,
    staleS: Math.ceil((nowMs() - entry.fetchedMs) / 1_000),
  })

  /** The last copy, where it isn't too old; kept for another moment, so that its readers don't ask in vain each. */
  const stale = (id: number, error: Busy): Effect.Effect<CachedProduct, Busy> =>
    Effect.suspend(() => {
      const last = known.get(id)
      if (last === undefined || nowMs() - last.fetchedMs > Degradation.MAX_STALE_MS) return Effect.fail(error)
      ProductMetrics.stale(1)
      // Somebody else has done so meanwhile, or inventory answered after all.
      return last.expiresMs > nowMs()
        ? Effect.succeed(show(last))
        : Effect.map(keep(last.message, last.fetchedMs), age)
    })

  /** A copy that is within its life is fresh, unless that life was a second one. */
  const show = (entry: Known): CachedProduct =>
    nowMs() - entry.fetchedMs > MAX_LIFE_MS ? age(entry) : entry.value

  const get = (id: number): Effect.Effect<CachedProduct, ReadError> =>
    Effect.suspend(() => {
      const entry = known.get(id)
      if (entry !== undefined) {
        if (entry.expiresMs > nowMs()) {
          ProductMetrics.held(1)
          return Effect.succeed(show(entry))
        }
        ProductMetrics.asked(1)
        return lookup(id).pipe(
          Effect.timeoutFail({ duration: PATIENCE_MS, onTimeout: () => new Busy({}) }),
          Effect.catchTag("Busy", (error) => stale(id, error)),
        )
      }
      const missingUntilMs = missing.get(id)
      if (missingUntilMs !== undefined && missingUntilMs > nowMs()) {
        ProductMetrics.unknown(1)
        return Effect.fail(new NotFound({}))
      }
      ProductMetrics.asked(1)
      return lookup(id)
    })

  return ProductCache.of({
    get,
    held: (id) => {
      const entry = known.get(id)
      const atMs = nowMs()
      if (entry === undefined || entry.expiresMs <= atMs || atMs - entry.fetchedMs > MAX_LIFE_MS)
        return undefined
      ProductMetrics.held(1)
      return entry.value
    },
    messageOf: (id) =>
      Effect.flatMap(get(id), () => {
        const entry = known.get(id)
        return entry === undefined ? Effect.fail(new Busy({})) : Effect.succeed(entry.message)
      }),
    peek: (id) => {
      const entry = known.get(id)
      if (entry === undefined) return undefined
      if (nowMs() - entry.fetchedMs > PEEK_LIFE_MS && !pending.has(id)) run(Effect.ignore(lookup(id)))
      return entry.message
    },
    put: (message) => Effect.asVoid(remember(message)),
  })
})

export const layer = Layer.scoped(ProductCache, make)
