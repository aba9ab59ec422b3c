/** The counters that all edges share, in the Redis of `REDIS_LIMITS_URL`: one key a script call. */
import { Redis } from "@floodgate/runtime/redis/Redis"
import type { RedisError } from "@floodgate/runtime/redis/RedisError"
import * as RedisScript from "@floodgate/runtime/redis/RedisScript"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

/** How long a counter may hold up a request (ms); then this edge decides by itself. */
export const DEADLINE_MS = 100

export interface Seen {
  /** Members within the window. */
  readonly count: number
  /** How long until there is room (ms); 0 where the member was let in. */
  readonly waitMs: number
}

export class WindowStore extends Context.Tag("@floodgate/edge/risk/WindowStore")<
  WindowStore,
  {
    /** Counts hits, and says how many there are within the window. */
    readonly hits: (key: string, add: number, windowMs: number) => Effect.Effect<number, RedisError>
    /** Counts a member once, where there is room for it. */
    readonly members: (
      key: string,
      member: string,
      windowMs: number,
      max: number,
    ) => Effect.Effect<Seen, RedisError>
  }
>() {}

const hitsScript = RedisScript.define("hits", { keys: 1 })
const membersScript = RedisScript.define("members", { keys: 1 })

/** The store, with a deadline for each question (ms). */
export const make = Effect.fnUntraced(function* (deadlineMs: number = DEADLINE_MS) {
  const redis = yield* Redis
  yield* hitsScript.preload
  yield* membersScript.preload
  return WindowStore.of({
    hits: (key, add, windowMs) =>
      hitsScript.run([`risk:${key}`], [add, windowMs], { deadlineMs }).pipe(
        Effect.map((answer) => answer as number),
        Effect.provideService(Redis, redis),
      ),
    members: (key, member, windowMs, max) =>
      membersScript.run([`risk:${key}`], [member, windowMs, max], { deadlineMs }).pipe(
        Effect.map((answer) => {
          const [count = 0, , waitMs = 0] = answer as ReadonlyArray<number>
          return { count, waitMs }
        }),
        Effect.provideService(Redis, redis),
      ),
  })
})

export const layer = Layer.effect(WindowStore, make())
