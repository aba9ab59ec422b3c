/**
 * Takes sold-out marks back when an operator restocks. Inventory's events reach one edge of all (they share a consumer
 * group, so that an edge that is gone leaves nothing behind on the bus), and that one tells the others by Redis. Lost
 * news costs half a second: marks live no longer.
 */
import { Topic } from "@floodgate/contracts/events/Topic"
import * as Consumer from "@floodgate/runtime/event-bus/Consumer"
import { EventBus } from "@floodgate/runtime/event-bus/EventBus"
import { Redis } from "@floodgate/runtime/redis/Redis"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import { SoldOutMarks } from "./SoldOutMarks.ts"

export const GROUP = "edge.stock"
export const CHANNEL = "stock.changed"

const RETRY_MS = 1_000

const StockChanged = Schema.Struct({
  type: Schema.Literal("stock.changed"),
  product_id: Schema.Int,
  available: Schema.Int,
  stock_version: Schema.Int,
})

/** What matters of an event; others of its topic are nothing to us. */
const decode = Schema.decodeUnknownEither(Schema.parseJson(StockChanged))

const publish = Effect.gen(function* () {
  const bus = yield* EventBus
  const redis = yield* Redis
  return yield* bus.consume({
    group: GROUP,
    topics: [Topic.InventoryEvents],
    handle: (batch) =>
      Effect.forEach(
        batch,
        ({ value }) => {
          const event = decode(Buffer.from(value).toString("utf8"))
          if (Either.isLeft(event)) return Effect.void
          const { available, product_id, stock_version } = event.right
          return redis
            .run("stock.publish", (connection) =>
              connection.publish(CHANNEL, `${product_id} ${available} ${stock_version}`),
            )
            .pipe(Effect.ignore)
        },
        { discard: true },
      ),
  })
})

const NEWS = /^(\d+) (\d+) (\d+)$/

const subscribe = Effect.gen(function* () {
  const redis = yield* Redis
  const marks = yield* SoldOutMarks
  const connection = yield* redis.duplicate
  connection.on("message", (_channel: string, text: string) => {
    const news = NEWS.exec(text)
    if (news !== null) marks.learn(Number(news[1]), Number(news[2]), Number(news[3]))
  })
  // Once subscribed, the connection subscribes again by itself whenever it was lost.
  yield* Effect.tryPromise(() => connection.subscribe(CHANNEL)).pipe(Effect.retry(Schedule.spaced(RETRY_MS)))
})

export const layer: Layer.Layer<never, never, EventBus | Redis | SoldOutMarks> = Layer.mergeAll(
  Consumer.layer(GROUP, publish),
  Layer.scopedDiscard(Effect.forkScoped(subscribe)),
)
