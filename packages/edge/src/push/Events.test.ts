import { create } from "@bufbuild/protobuf"
import { assert, describe, layer } from "@effect/vitest"
import { ListRevocationsResponseSchema } from "@floodgate/contracts/gen/floodgate/identity/v1/identity_pb"
import * as Effect from "effect/Effect"
import { type Listening, listen, until } from "../testing/Listening.ts"
import * as Messages from "../testing/Messages.ts"
import * as TestEdge from "../testing/TestEdge.ts"
import * as Tokens from "../testing/Tokens.ts"
import { Journal } from "./Journal.ts"

const live = { excludeTestServices: true } as const
const alice = TestEdge.bearer({ userId: 7 })
const bob = TestEdge.bearer({ userId: 8 })
const mallory = TestEdge.bearer({ userId: 9 })

const inventory = { stock: 5n }
const banned = { mallory: false }

const told = (orderNum: string, state = "unpaid") =>
  Effect.flatMap(Journal, (journal) =>
    journal.append({ orders: [[7, orderNum, state, 2, "2026-01-01T00:00:00.000Z"]] }),
  ).pipe(Effect.orDie)

layer(
  TestEdge.layer({
    identity: {
      listRevocations: () =>
        Effect.sync(() =>
          create(ListRevocationsResponseSchema, {
            revision: banned.mallory ? 1n : 0n,
            entries: banned.mallory ? [{ userId: 9n, notBeforeMs: 0n, banned: true }] : [],
          }),
        ),
    },
    inventory: {
      getProduct: ({ productId }) =>
        Effect.sync(() => Messages.product({ id: BigInt(productId ?? 0), stock: inventory.stock })),
    },
  }),
  live,
)("event streams over HTTP", (it) => {
  describe("a stream", () => {
    it.scoped("greets, and tells one's orders as they change", () =>
      Effect.gen(function* () {
        const { port } = yield* TestEdge.TestEdge
        const stream = yield* listen(port, "/events?topics=orders", alice)
        const foreign = yield* listen(port, "/events?topics=orders", bob)
        assert.strictEqual(stream.status, 200)
        assert.include(stream.headers, {
          "content-type": "text/event-stream; charset=utf-8",
          "cache-control": "no-store",
        })
        assert.match(String(stream.headers["x-trace-id"]), /^[0-9a-f]{32}$/)
        yield* until("the greeting", () => stream.events().length === 1)
        const [ready] = stream.events()
        assert.deepInclude(ready?.data, { topics: ["orders"] })
        yield* told("n1")
        yield* until("the order", () => stream.events().some(({ data }) => data.order_num === "n1"))
        assert.isFalse(foreign.text().includes("n1"))
      }),
    )

    it.scoped("goes on after the last event heard, by header or by query", () =>
      Effect.gen(function* () {
        const { port } = yield* TestEdge.TestEdge
        const first = yield* listen(port, "/events?topics=orders", alice)
        yield* told("n2")
        yield* until("n2", () => first.text().includes("n2"))
        const id = first.events().at(-1)?.id
        yield* told("n3", "paid")
        yield* until("n3", () => first.text().includes("n3"))
        for (const [path, headers] of [
          ["/events?topics=orders", { ...alice, "last-event-id": id! }],
          [`/events?topics=orders&last_event_id=${id}`, { ...alice, "last-event-id": "1-0" }],
        ] as const) {
          const again = yield* listen(port, path, headers)
          yield* until("the missed one", () => again.events().length === 2)
          assert.deepInclude(again.events()[1]?.data, { order_num: "n3", state: "paid", status: 1 })
        }
        const lost = yield* listen(port, "/events?topics=orders&last_event_id=999999-0", alice)
        yield* until("reset", () => lost.events().some(({ event }) => event === "reset"))
      }),
    )

    it.scoped("tells stock to anyone, as it is at first and then as it changes", () =>
      Effect.gen(function* () {
        const { port } = yield* TestEdge.TestEdge
        const stream = yield* listen(port, "/events?topics=stock:42")
        const stocks = () =>
          stream
            .events()
            .filter(({ event }) => event === "stock.updated")
            .map(({ data }) => data.stock)
        yield* until("the stock", () => stocks().length === 1)
        inventory.stock = 4n
        yield* until("the change", () => stocks().includes(4))
        assert.deepStrictEqual(stocks(), [5, 4])
      }),
    )

    it.scoped("hears of a change however soon after it began to listen", () =>
      Effect.gen(function* () {
        const { port } = yield* TestEdge.TestEdge
        for (const stock of [1n, 2n, 3n, 4n]) {
          const streams: Array<Listening> = []
          // Of a product each that nobody has listened to.
          for (let n = 0; n < 8; n++) {
            streams.push(yield* listen(port, `/events?topics=stock:${1_000 + Number(stock) * 10 + n}`))
          }
          const heard = (stream: Listening) =>
            stream
              .events()
              .filter(({ event }) => event === "stock.updated")
              .at(-1)?.data.stock
          yield* until("the stock", () => streams.every((stream) => heard(stream) !== undefined))
          inventory.stock = stock + 10n
          yield* until("the change", () => streams.every((stream) => heard(stream) === Number(stock + 10n)))
        }
      }),
    )

    it.scoped("of whom one's topics begin to be a product tells its stock, though nothing changes", () =>
      Effect.gen(function* () {
        const { ask, port } = yield* TestEdge.TestEdge
        const watched = yield* listen(port, "/events?topics=stock:43")
        const heard = (stream: Listening) =>
          stream.events().some(({ data, event }) => event === "stock.updated" && data.product_id === 43)
        yield* until("the stock", () => heard(watched))
        const stream = yield* listen(port, "/events?topics=orders", alice)
        yield* until("the greeting", () => stream.events().length > 0)
        const path = `/events/${stream.events()[0]?.data.stream_id}`
        yield* ask(path, { method: "PUT", headers: alice, body: { topics: ["stock:43"] } })
        yield* until("the stock", () => heard(stream))
      }),
    )

    it.scoped("changes its topics while it is open, for its owner alone", () =>
      Effect.gen(function* () {
        const { ask, port } = yield* TestEdge.TestEdge
        const stream = yield* listen(port, "/events?topics=stock:42", alice)
        yield* until("the greeting", () => stream.events().length > 0)
        const path = `/events/${stream.events()[0]?.data.stream_id}`
        const body = { topics: ["orders"] }
        const put = (headers: Record<string, string>) => ask(path, { method: "PUT", headers, body })
        assert.strictEqual((yield* put(bob)).status, 404)
        assert.strictEqual((yield* put({})).status, 401)
        assert.strictEqual((yield* put(alice)).json.code, 0)
        yield* told("n4")
        yield* until("the order", () => stream.text().includes("n4"))
        const unknown = yield* ask("/events/x.y.z", { method: "PUT", headers: alice, body })
        assert.strictEqual(unknown.status, 404)
        const bad = yield* ask(path, { method: "PUT", headers: alice, body: { topics: ["all"] } })
        assert.strictEqual(bad.json.code, 400)
      }),
    )

    it.scoped("opens with a ticket, once", () =>
      Effect.gen(function* () {
        const { ask, port } = yield* TestEdge.TestEdge
        const issued = yield* ask("/events/ticket", { method: "POST", headers: alice })
        assert.strictEqual(issued.json.data.expires_in, 30)
        const path = `/events?topics=orders&ticket=${issued.json.data.ticket}`
        const stream = yield* listen(port, path)
        assert.strictEqual(stream.status, 200)
        const again = yield* ask(path)
        assert.deepStrictEqual([again.status, again.json.code], [401, 401])
        assert.strictEqual((yield* ask("/events?topics=orders&ticket=invented")).status, 401)
      }),
    )

    it.scoped("of one whose account is banned says goodbye and ends", () =>
      Effect.gen(function* () {
        const { ask, port } = yield* TestEdge.TestEdge
        const stream = yield* listen(port, "/events?topics=orders", mallory)
        yield* until("the greeting", () => stream.events().length === 1)
        banned.mallory = true
        yield* until("the end", () => stream.ended())
        assert.deepStrictEqual(stream.events().at(-1), { event: "bye", data: { code: 701 } })
        const again = yield* ask("/events?topics=orders", { headers: mallory })
        assert.deepStrictEqual([again.status, again.json.code], [403, 701])
      }),
    )

    it.scoped("of a token that expires says goodbye, so that its client refreshes it", () =>
      Effect.gen(function* () {
        const { port } = yield* TestEdge.TestEdge
        const claims = { ...Tokens.claims({ userId: 7 }), exp: Math.floor(Date.now() / 1_000) + 2 }
        const token = Tokens.sign(TestEdge.signingKey, Tokens.header(TestEdge.signingKey), claims)
        const stream = yield* listen(port, "/events?topics=orders", { authorization: `Bearer ${token}` })
        assert.strictEqual(stream.status, 200)
        yield* until("the end", () => stream.ended())
        assert.deepStrictEqual(stream.events().at(-1), { event: "bye", data: { code: 401 } })
      }),
    )
  })

  it.scoped("what isn't a good request is refused in the envelope", () =>
    Effect.gen(function* () {
      const { ask } = yield* TestEdge.TestEdge
      const many = Array.from({ length: 51 }, (_, n) => `stock:${n + 1}`).join(",")
      for (const query of [
        "",
        "?topics=",
        "?topics=all",
        "?topics=stock:0",
        "?topics=stock:1e3",
        "?topics=orders&x=1",
        `?topics=${many}`,
        "?topics=orders&topics=orders",
      ]) {
        const answer = yield* ask(`/events${query}`, { headers: alice })
        assert.deepStrictEqual([answer.status, answer.json.code], [400, 400], query)
      }
      for (const topic of ["orders", "queue:42"]) {
        const answer = yield* ask(`/events?topics=${topic}`)
        assert.deepStrictEqual([answer.status, answer.json.code], [401, 401])
      }
      const wrong = yield* ask("/events", { method: "POST", body: {} })
      assert.strictEqual(wrong.status, 405)
    }),
  )

  it.scoped("a user has ten streams at most", () =>
    Effect.gen(function* () {
      const { ask, port } = yield* TestEdge.TestEdge
      const carol = TestEdge.bearer({ userId: 77 })
      for (let n = 0; n < 10; n++) yield* listen(port, "/events?topics=orders", carol)
      const eleventh = yield* ask("/events?topics=orders", { headers: carol })
      assert.deepStrictEqual([eleventh.status, eleventh.json.code], [429, 429])
      assert.isAbove(Number(eleventh.headers["retry-after"]), 0)
    }),
  )
})
