/**
 * The journal of what event streams tell: a short Redis stream that all edges write to and read from, so that a stream
 * can go on at any of them. It holds nothing that isn't in MySQL; without it streams are silent, and say `reset` after.
 */
import { Redis } from "@floodgate/runtime/redis/Redis"
import type { RedisError } from "@floodgate/runtime/redis/RedisError"
import * as RedisScript from "@floodgate/runtime/redis/RedisScript"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"

const KEY = "{push}:journal"
const COUNTER = "{push}:journal:n"

/** Entries kept, about: each brings the orders of one transaction. */
const MAX_ENTRIES = 5_000
/** An idle journal is forgotten (s). */
const KEEP_S = 3_600
/** Entries that one read takes. */
export const PAGE = 200

const script = RedisScript.define("journal", { keys: 2 })

/** Orders that changed: user, number, state, version, when. In tuples, because a busy sale writes thousands a second. */
const Orders = Schema.Struct({
  orders: Schema.Array(Schema.Tuple(Schema.Int, Schema.String, Schema.String, Schema.Int, Schema.String)),
})
/** Another edge's stream gets other topics. */
const Subscribe = Schema.Struct({ stream_id: Schema.String, topics: Schema.Array(Schema.String) })

export const Entry = Schema.Union(Orders, Subscribe)
export type Entry = typeof Entry.Type

const Json = Schema.parseJson(Entry)
const encode = Schema.encodeSync(Json)
const decode = Schema.decodeUnknownOption(Json)

export interface Read {
  readonly id: string
  /** Rises by one with each entry; another step means that entries were lost. */
  readonly number: number
  /** Undefined for what a newer edge wrote and this one can't read. */
  readonly entry: Entry | undefined
}

const readOf = ([id, fields]: [string, Array<string>]): Read => {
  const values = new Map<string, string>()
  for (let i = 0; i + 1 < fields.length; i += 2) values.set(fields[i]!, fields[i + 1]!)
  const decoded = decode(values.get("e"))
  return {
    id,
    number: Number(values.get("n")),
    entry: decoded._tag === "Some" ? decoded.value : undefined,
  }
}

export class Journal extends Context.Tag("@floodgate/edge/push/Journal")<
  Journal,
  {
    readonly append: (entry: Entry) => Effect.Effect<void, RedisError>
    /** Everything that is kept, oldest first. */
    readonly all: Effect.Effect<ReadonlyArray<Read>, RedisError>
    /** What came after an entry, at most {@link PAGE}, without waiting for more. */
    readonly after: (id: string) => Effect.Effect<ReadonlyArray<Read>, RedisError>
    /** Keeps a value for one use, for so long (s). */
    readonly keepOnce: (key: string, value: string, seconds: number) => Effect.Effect<void, RedisError>
    /** The value, the first time; null afterwards, and when its time is over. */
    readonly takeOnce: (key: string) => Effect.Effect<string | null, RedisError>
  }
>() {}

export const make = Effect.gen(function* () {
  const redis = yield* Redis
  yield* script.preload
  const onceKey = (key: string) => `{push}:once:${key}`
  return Journal.of({
    append: (entry) =>
      script
        .run([KEY, COUNTER], [MAX_ENTRIES, KEEP_S, encode(entry)])
        .pipe(Effect.provideService(Redis, redis), Effect.asVoid),
    all: redis.run("journal.all", async (connection) => (await connection.xrange(KEY, "-", "+")).map(readOf)),
    after: (id) =>
      redis.run("journal.after", async (connection) =>
        (await connection.xrange(KEY, `(${id}`, "+", "COUNT", PAGE)).map(readOf),
      ),
    keepOnce: (key, value, seconds) =>
      Effect.asVoid(
        redis.run("push.keep", (connection) => connection.set(onceKey(key), value, "EX", seconds)),
      ),
    takeOnce: (key) => redis.run("push.take", (connection) => connection.getdel(onceKey(key))),
  })
})

export const layer = Layer.effect(Journal, make)
