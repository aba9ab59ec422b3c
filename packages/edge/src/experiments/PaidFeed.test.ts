/** Who paid, from a real bus into a real database: each once, however often a message comes. */
import { assert, layer } from "@effect/vitest"
import { Topic } from "@floodgate/contracts/events/Topic"
import { EventBus } from "@floodgate/runtime/event-bus/EventBus"
import * as TestBus from "@floodgate/runtime/testing/TestBus"
import * as TestMysql from "@floodgate/runtime/testing/TestMysql"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ExperimentStore from "./ExperimentStore.ts"
import * as Experiments from "./Experiments.ts"
import * as PaidFeed from "./PaidFeed.ts"
import * as PeopleStore from "./PeopleStore.ts"

const stores = Layer.merge(ExperimentStore.layer, PeopleStore.layer)
const live = PaidFeed.layer.pipe(
  Layer.provideMerge(Experiments.layer),
  Layer.provideMerge(stores),
  Layer.provideMerge(TestBus.layerRedisStreams),
  Layer.provideMerge(TestMysql.layer({ migrations: ["edge"], main: "edge" })),
)

const eventOf = (type: string, state: string, users: ReadonlyArray<number>) => ({
  key: String(users[0]),
  value: Buffer.from(
    JSON.stringify({
      event_id: `${type}-${users.join("-")}`,
      type,
      version: 1,
      aggregate: "orders",
      occurred_at: "2026-01-31T08:00:00.000Z",
      changes: users.map((userId) => ({
        order_num: `num-${userId}`,
        user_id: userId,
        product_id: 1,
        generation: 1,
        quantity: 1,
        state,
        version: 2,
      })),
    }),
  ),
})

layer(live, { excludeTestServices: true })("who paid", (it) => {
  it.effect("counts once for each experiment that they are in, and only among the exposed", () =>
    Effect.gen(function* () {
      const bus = yield* EventBus
      const experiments = yield* Experiments.Experiments
      const people = yield* PeopleStore.PeopleStore
      yield* experiments.create({
        key: "paying",
        kind: "storefront",
        status: "running",
        salt: "salt",
        percentage: 0,
        allowUsers: [1, 2, 3, 4],
        variants: [{ key: "all", weight: 1, config: {} }],
        reason: "to learn something",
        actorId: 9,
      })
      for (const userId of [1, 2, 3]) experiments.expose("paying", userId)
      experiments.happened(1, "accepted")
      experiments.happened(3, "accepted")
      yield* experiments.flush
      const paid = eventOf("order.paid", "paid", [1, 2, 4, 5])
      yield* bus.publish(Topic.OrderEvents, [
        paid,
        paid,
        eventOf("order.cancelled", "cancelled", [3]),
        { key: "x", value: Buffer.from("not an event") },
        paid,
      ])
      // Last in its partition; whatever came before it has been handled by then.
      yield* bus.publish(Topic.OrderEvents, [eventOf("order.paid", "paid", [1])])
      const beganMs = performance.now()
      while (
        (yield* bus.lag(PaidFeed.GROUP, Topic.OrderEvents)) > 0 ||
        (yield* people.count("paying"))[0]!.paid < 2
      ) {
        assert.isBelow(performance.now() - beganMs, 20_000)
        yield* Effect.sleep(50)
      }
      // Somebody who pays has bought: 2's acceptance was another edge's to tell, and is lost.
      assert.deepEqual(yield* people.count("paying"), [
        { variant: 0, exposed: 3, accepted: 3, paid: 2, limited: 0 },
      ])
    }),
  )
})
