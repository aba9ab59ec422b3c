/**
 * Products in this process, encoded and ready to send: in a rush everybody reads the same few. Less than half a second
 * old; one call to inventory an id, however many ask; ids that don't exist are remembered too, so that a flood of them
 * stays here.
 */
import { createHash } from "node:crypto"
import { type Busy, type Internal, type InvalidInput, NotFound } from "@floodgate/contracts/errors/Errors"
import type { Product as Message } from "@floodgate/contracts/gen/floodgate/inventory/v1/inventory_pb"
import { Envelope } from "@floodgate/contracts/http/Envelope"
import { Product } from "@floodgate/contracts/http/Product"
import { InventoryClient } from "@floodgate/contracts/rpc/InventoryClient"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import * as Schema from "effect/Schema"
import { fromPeer } from "../handlers/Peer.ts"
import { ServerClock } from "../seckill/ServerClock.ts"
import * as ProductView from "./ProductView.ts"

/** Products held, and unknown ids held. */
export const CAPACITY = 10_000
/** Calls to inventory under way. */
const MAX_LOOKUPS = 256
/** A product's life (ms), jittered so that a crowd of them doesn't expire as one. */
const MIN_LIFE_MS = 200
const MAX_LIFE_MS = 400
/** An unknown id's life (ms): ids are given in order, and one that is published here is dropped from the list. */
const MIN_UNKNOWN_LIFE_MS = 4_000
const MAX_UNKNOWN_LIFE_MS = 5_000

/** The answer to a read of one product. */
export interface CachedProduct {
  /** The envelope, encoded. */
  readonly body: Uint8Array
  readonly etag: string
}

export type ReadError = NotFound | Busy | Internal | InvalidInput

export class ProductCache extends Context.Tag("@floodgate/edge/products/ProductCache")<
  ProductCache,
  {
    readonly get: (productId: number) => Effect.Effect<CachedProduct, ReadError>
    /** Takes in what a write has just answered. */
    readonly put: (message: Message) => Effect.Effect<void>
  }
>() {}

interface Entry {
  readonly value: CachedProduct | undefined
  readonly expiresMs: number
}

/** Insertion-ordered, so that the oldest goes first. */
const store = (map: Map<number, Entry>, id: number, entry: Entry): void => {
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
  const lookups = yield* Effect.makeSemaphore(MAX_LOOKUPS)
  const known = new Map<number, Entry>()
  const missing = new Map<number, Entry>()
  const pending = new Map<number, Deferred.Deferred<CachedProduct, ReadError>>()

  const nowMs = () => clock.unsafeCurrentTimeMillis()

  const remember = Effect.fnUntraced(function* (message: Message) {
    const serverNowMs = serverClock.nowMs()
    const value = render(message, serverNowMs)
    const lifeMs = yield* Random.nextIntBetween(MIN_LIFE_MS, MAX_LIFE_MS)
    const untilChangeMs = ProductView.nextChangeMs(message, serverNowMs) - serverNowMs
    const id = Number(message.id)
    missing.delete(id)
    store(known, id, { value, expiresMs: nowMs() + Math.min(lifeMs, untilChangeMs) })
    return value
  })

  const rememberMissing = (id: number) =>
    Effect.map(Random.nextIntBetween(MIN_UNKNOWN_LIFE_MS, MAX_UNKNOWN_LIFE_MS), (lifeMs) => {
      known.delete(id)
      store(missing, id, { value: undefined, expiresMs: nowMs() + lifeMs })
    })

  const load = (id: number) =>
    lookups
      .withPermits(1)(fromPeer(inventory.getProduct({ productId: BigInt(id) })))
      .pipe(
        Effect.flatMap(remember),
        Effect.tapErrorTag("NotFound", () => rememberMissing(id)),
      )

  // The lookup belongs to all who wait for it: it goes on when the one who began it leaves.
  const lookup = Effect.fnUntraced(function* (id: number) {
    const deferred = yield* Deferred.make<CachedProduct, ReadError>()
    pending.set(id, deferred)
    yield* Effect.forkIn(
      Effect.onExit(load(id), (exit) => {
        pending.delete(id)
        return Deferred.done(deferred, exit)
      }),
      scope,
    )
    return yield* Deferred.await(deferred)
  })

  const fresh = (id: number): Entry | undefined => {
    const entry = known.get(id) ?? missing.get(id)
    return entry !== undefined && entry.expiresMs > nowMs() ? entry : undefined
  }

  return ProductCache.of({
    get: (id) =>
      Effect.suspend(() => {
        const entry = fresh(id)
        if (entry !== undefined) {
          return entry.value === undefined ? Effect.fail(new NotFound({})) : Effect.succeed(entry.value)
        }
        const waiting = pending.get(id)
        return waiting === undefined ? lookup(id) : Deferred.await(waiting)
      }),
    put: (message) => Effect.asVoid(remember(message)),
  })
})

export const layer = Layer.scoped(ProductCache, make)
