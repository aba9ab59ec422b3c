/** The waiting room as buyers meet it: over real HTTP, with a real Redis behind it. */
import { create } from "@bufbuild/protobuf"
import { assert, layer } from "@effect/vitest"
import {
  ProductAccessSchema,
  ProductStatus,
} from "@floodgate/contracts/gen/floodgate/inventory/v1/inventory_pb"
import { ReserveCode } from "@floodgate/contracts/sale/ReserveCode"
import { Redis } from "@floodgate/runtime/redis/Redis"
import * as TestRedis from "@floodgate/runtime/testing/TestRedis"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as FakePeers from "../testing/FakePeers.ts"
import * as Messages from "../testing/Messages.ts"
import * as TestEdge from "../testing/TestEdge.ts"
import { LIFE_MS } from "../ticket/Ticket.ts"
import * as QueueStore from "./QueueStore.ts"

const live = { excludeTestServices: true } as const

const ROOM = 10n
const PLAIN = 11n
const GUARDED = 12n
const SOLD = 13n
const NARROW = 14n
const ENDED = 15n

/** What inventory was asked to reserve, by user. */
const reserved: Array<bigint> = []

const startedMs = BigInt(Date.now() - 60_000)
const productOf = (id: bigint) => ({
  ...Messages.product({ id }),
  stock: id === SOLD ? 0n : id === NARROW ? 1n : 100n,
  status: ProductStatus.LIVE,
  startTimeMs: startedMs,
  endTimeMs: id === ENDED ? startedMs + 1n : 0n,
  access: create(ProductAccessSchema, { waitingRoom: id !== PLAIN, challenge: id === GUARDED }),
})

const peers: FakePeers.Peers = {
  inventory: {
    getProduct: ({ productId }) => Effect.succeed(productOf(productId!)),
    reserveBatch: ({ userId }) =>
      Effect.sync(() => {
        reserved.push(...userId!)
        return Messages.reserved(
          userId!.map((id) => [ReserveCode.RESERVED, `num-${id}`] as const),
          { serverTimeMs: 0n },
        )
      }),
  },
}

const edge = Layer.unwrapEffect(
  Effect.map(Redis, (redis) =>
    TestEdge.layer(peers, {}, undefined, {
      queues: QueueStore.layer.pipe(Layer.provide(Layer.succeed(Redis, redis)), Layer.orDie),
    }),
  ),
).pipe(Layer.provideMerge(TestRedis.layer))

let users = 100
const newUser = () => ++users

const call = (method: string, path: string, userId: number, body?: unknown) =>
  Effect.flatMap(TestEdge.TestEdge, (test) =>
    test.ask(path, {
      method,
      headers: TestEdge.bearer({ userId }),
      ...(body === undefined ? undefined : { body }),
    }),
  )

const join = (product: bigint, userId: number, body: unknown = {}) =>
  call("POST", `/products/${product}/queue`, userId, body)
const place = (product: bigint, userId: number) => call("GET", `/products/${product}/queue`, userId)
const buy = (product: bigint, userId: number, ticket?: string) =>
  call("POST", "/seckill", userId, {
    product_id: Number(product),
    ...(ticket === undefined ? undefined : { ticket }),
  })

const untilAdmitted = Effect.fnUntraced(function* (product: bigint, userId: number) {
  for (let i = 0; i < 100; i++) {
    const { json } = yield* place(product, userId)
    if (json.data?.state === "admitted") return json.data
    yield* Effect.sleep(50)
  }
  return assert.fail("never admitted")
})

layer(edge, live)("a product with a waiting room", (it) => {
  it.effect("sends whoever comes without a ticket there, and lets in whoever was admitted", () =>
    Effect.gen(function* () {
      const userId = newUser()
      const away = yield* buy(ROOM, userId)
      assert.deepStrictEqual([away.status, away.json.code], [429, 705])
      assert.match(away.headers["retry-after"]!, /^[1-9]\d*$/)
      assert.deepInclude(away.json.data, { state: "waiting", position: 0 })

      const joined = yield* join(ROOM, userId)
      assert.strictEqual(joined.status, 200)
      assert.deepInclude(joined.json.data, { state: "waiting", position: 1, ahead: 0 })
      assert.isUndefined(joined.json.data.ticket)
      const waiting = yield* buy(ROOM, userId)
      assert.deepInclude(waiting.json.data, { state: "waiting", position: 1, ahead: 0 })
      assert.notInclude(reserved, BigInt(userId))

      const { ticket } = yield* untilAdmitted(ROOM, userId)
      const bought = yield* buy(ROOM, userId, ticket)
      assert.deepStrictEqual([bought.status, bought.json.data.order_num], [202, `num-${userId}`])
    }),
  )

  it.effect("takes no ticket of somebody else, of another product, or of yesterday", () =>
    Effect.gen(function* () {
      const userId = newUser()
      yield* join(ROOM, userId)
      const { ticket } = yield* untilAdmitted(ROOM, userId)
      const claims = { user: userId, product: Number(ROOM), proved: ["queue"] as const }
      const bad: ReadonlyArray<readonly [bigint, number, string]> = [
        [ROOM, newUser(), ticket],
        [NARROW, userId, ticket],
        [ROOM, userId, TestEdge.tickets.sign({ ...claims, exp: Date.now() - 1 })],
        [
          ROOM,
          userId,
          TestEdge.tickets.sign({ ...claims, proved: ["challenge"], exp: Date.now() + LIFE_MS }),
        ],
        [ROOM, userId, `${ticket}x`],
      ]
      for (const [product, user, text] of bad) {
        const { json, status } = yield* buy(product, user, text)
        assert.deepStrictEqual([status, json.code], [429, 705])
      }
    }),
  )

  it.effect("asks for the challenge before the line, and its ticket then proves both", () =>
    Effect.gen(function* () {
      const userId = newUser()
      const refused = yield* join(GUARDED, userId)
      assert.deepStrictEqual([refused.status, refused.json.code], [403, 704])
      const challenge = TestEdge.tickets.sign({
        user: userId,
        product: Number(GUARDED),
        proved: ["challenge"],
        exp: Date.now() + LIFE_MS,
      })
      assert.strictEqual((yield* join(GUARDED, userId, { ticket: challenge })).status, 200)
      const { ticket } = yield* untilAdmitted(GUARDED, userId)
      const proved = TestEdge.tickets.verify(ticket, { user: userId, product: Number(GUARDED) }, Date.now())
      assert.sameMembers([...proved], ["challenge", "queue"])
    }),
  )

  it.effect("tells at once whoever would wait in vain", () =>
    Effect.gen(function* () {
      for (const product of [SOLD, ENDED]) {
        const { json, status } = yield* join(product, newUser())
        assert.deepStrictEqual([status, json.code], [409, product === SOLD ? 510 : 513])
      }
      // Three wait for the one piece; the first second has only begun, so none of them is in yet.
      const answers = yield* Effect.forEach([1, 2, 3, 4], () => join(NARROW, newUser()))
      assert.deepStrictEqual(
        answers.map(({ json }) => json.code),
        [0, 0, 0, 510],
      )
    }),
  )

  it.effect("nobody waits where there is no waiting room", () =>
    Effect.gen(function* () {
      const userId = newUser()
      const { json } = yield* join(PLAIN, userId)
      assert.deepStrictEqual(json.data, { state: "admitted", position: 0, ahead: 0, retry_after_ms: 0 })
      assert.strictEqual((yield* buy(PLAIN, userId)).status, 202)
    }),
  )

  // The last one: it stops the server.
  it.effect("is busy while its Redis is gone; sales without one go on", () =>
    Effect.gen(function* () {
      const server = yield* TestRedis.TestRedisServer
      yield* server.kill
      const userId = newUser()
      for (const answer of [yield* join(ROOM, userId), yield* buy(ROOM, userId)]) {
        assert.deepStrictEqual([answer.status, answer.json.code], [503, 530])
      }
      assert.strictEqual((yield* buy(PLAIN, userId)).status, 202)
    }),
  )
})
