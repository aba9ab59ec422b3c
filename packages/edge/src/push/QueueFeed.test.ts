/** Places in a waiting room, told through real streams, from a real Redis. */
import { assert, layer } from "@effect/vitest"
import { ProductStatus } from "@floodgate/contracts/gen/floodgate/inventory/v1/inventory_pb"
import * as TestRedis from "@floodgate/runtime/testing/TestRedis"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as QueueStore from "../queue/QueueStore.ts"
import { listen, until } from "../testing/Listening.ts"
import * as Messages from "../testing/Messages.ts"
import * as TestEdge from "../testing/TestEdge.ts"

const PRODUCT = 77
const alice = { userId: 7 }
const bob = { userId: 8 }

const sale = { stock: 5n, status: ProductStatus.LIVE }

const product = {
  getProduct: () =>
    Effect.sync(() =>
      Messages.product({
        id: BigInt(PRODUCT),
        startTimeMs: BigInt(Date.now() - 1_000),
        endTimeMs: 0n,
        access: { waitingRoom: true },
        ...sale,
      }),
    ),
}

const queues = Layer.orDie(
  QueueStore.layer.pipe(Layer.provide(TestRedis.layer)),
) as Layer.Layer<QueueStore.QueueStore>

layer(TestEdge.layer({ inventory: product }, {}, undefined, { queues }), { excludeTestServices: true })(
  "one's place in a waiting room",
  (it) => {
    it.scoped("is told as it changes, with the ticket of whoever is let in, and nobody else's", () =>
      Effect.gen(function* () {
        const edge = yield* TestEdge.TestEdge
        const path = `/events?topics=queue:${PRODUCT}`
        const mine = yield* listen(edge.port, path, TestEdge.bearer(alice))
        const theirs = yield* listen(edge.port, path, TestEdge.bearer(bob))
        const places = (stream: typeof mine) =>
          stream
            .events()
            .filter(({ event }) => event === "queue.updated")
            .map(({ data }) => data)

        // Who hasn't joined isn't in the line.
        yield* until("the place of somebody outside", () => places(mine).length > 0)
        assert.deepInclude(places(mine)[0], { product_id: PRODUCT, state: "waiting", position: 0 })

        const joined = yield* edge.ask(`/products/${PRODUCT}/queue`, {
          method: "POST",
          body: {},
          headers: TestEdge.bearer(alice),
        })
        assert.strictEqual(joined.json.data.state, "waiting")
        yield* until("a place in the line", () => places(mine).some(({ position }) => position === 1))

        // Nobody asks but the stream: that is what lets one in.
        yield* until("the ticket", () => places(mine).some(({ state }) => state === "admitted"))
        const [admitted, ...more] = places(mine).filter(({ state }) => state === "admitted")
        assert.isEmpty(more)
        const proofs = TestEdge.tickets.verify(
          admitted.ticket,
          { user: alice.userId, product: PRODUCT, device: undefined },
          Date.now(),
        )
        assert.isTrue(proofs.has("queue"))
        assert.isTrue(places(theirs).every(({ position, ticket }) => position === 0 && ticket === undefined))

        // And that there is nothing left to wait for.
        sale.stock = 0n
        sale.status = ProductStatus.SOLD_OUT
        yield* until("the end", () => places(theirs).some(({ state }) => state === "closed"))
        assert.deepStrictEqual(places(theirs).at(-1), { product_id: PRODUCT, state: "closed", code: 510 })
      }),
    )

    it.effect("takes somebody signed in", () =>
      Effect.gen(function* () {
        const edge = yield* TestEdge.TestEdge
        const answer = yield* edge.ask(`/events?topics=queue:${PRODUCT}`)
        assert.strictEqual(answer.status, 401)
      }),
    )
  },
)
