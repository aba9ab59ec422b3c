/** The waiting rooms, in the Redis that all edges share: no edge's death costs anybody their place. */
import { randomBytes } from "node:crypto"
import { Redis } from "@floodgate/runtime/redis/Redis"
import type { RedisError } from "@floodgate/runtime/redis/RedisError"
import * as RedisScript from "@floodgate/runtime/redis/RedisScript"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

/** How long one stays admitted (ms): time to hear of it, and then a ticket's life. */
export const ADMITTED_MS = 120_000

export interface Room {
  readonly productId: number
  /** When the sale starts, Unix ms. */
  readonly startMs: number
  /** How many are let in a second. */
  readonly rate: number
  /** How many may wait. */
  readonly capacity: number
}

export type Place =
  | { readonly _tag: "Absent"; readonly waiting: number; readonly waitMs: number }
  | { readonly _tag: "Waiting"; readonly ahead: number; readonly waitMs: number }
  | { readonly _tag: "Admitted"; readonly sinceMs: number }
  /** More wait than can buy. */
  | { readonly _tag: "Full" }

export class QueueStore extends Context.Tag("@floodgate/edge/queue/QueueStore")<
  QueueStore,
  {
    /** Gets in line; whoever is in it keeps their place. */
    readonly join: (room: Room, userId: number) => Effect.Effect<Place, RedisError>
    readonly ask: (room: Room, userId: number) => Effect.Effect<Place, RedisError>
  }
>() {}

const script = RedisScript.define("queue", { keys: 3 })

const placeOf = (answer: unknown): Place => {
  const [state = 0, place = 0, waitMs = 0, waiting = 0] = answer as ReadonlyArray<number>
  switch (state) {
    case 1:
      return { _tag: "Waiting", ahead: place, waitMs }
    case 2:
      return { _tag: "Admitted", sinceMs: place }
    case 3:
      return { _tag: "Full" }
    default:
      return { _tag: "Absent", waiting, waitMs }
  }
}

export const make = Effect.gen(function* () {
  const redis = yield* Redis
  yield* script.preload
  const call = (op: "join" | "ask", room: Room, userId: number) => {
    const key = `queue:{${room.productId}}`
    const lot = randomBytes(4).readUInt32BE()
    return script
      .run(
        [`${key}:waiting`, `${key}:admitted`, `${key}:room`],
        [op, userId, lot, room.startMs, room.rate, room.capacity, ADMITTED_MS],
      )
      .pipe(Effect.map(placeOf), Effect.provideService(Redis, redis))
  }
  return QueueStore.of({
    join: (room, userId) => call("join", room, userId),
    ask: (room, userId) => call("ask", room, userId),
  })
})

export const layer = Layer.effect(QueueStore, make)
