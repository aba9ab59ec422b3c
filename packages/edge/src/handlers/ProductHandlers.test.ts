import { assert, describe, layer } from "@effect/vitest"
import { Busy, IdempotencyMismatch, InFlight, NotFound } from "@floodgate/contracts/errors/Errors"
import { ProductStatus } from "@floodgate/contracts/gen/floodgate/inventory/v1/inventory_pb"
import * as Effect from "effect/Effect"
import * as Messages from "../testing/Messages.ts"
import * as TestEdge from "../testing/TestEdge.ts"

const live = { excludeTestServices: true } as const
const { bearer } = TestEdge
const operator = bearer({ userId: 3, username: "operator", roles: ["operator"] })

const HOUR_MS = 3_600_000
const inMs = (ms: number) => new Date(Date.now() + ms).toISOString()

/** The same at every read, however long a busy machine takes between two. */
const START_MS = BigInt(Date.now() + HOUR_MS)

let reads = 0
const created: Array<any> = []
const listed: Array<any> = []

layer(
  TestEdge.layer({
    inventory: {
      getProduct: ({ productId }) =>
        Effect.suspend(() => {
          reads++
          return productId === 42n
            ? Effect.succeed(Messages.product({ startTimeMs: START_MS, endTimeMs: 0n }))
            : Effect.fail(new NotFound({}))
        }),
      listProducts: (request) => {
        listed.push(request)
        return Effect.succeed(Messages.products([Messages.product()], "more"))
      },
      createProduct: (request, options) =>
        Effect.suspend(
          (): Effect.Effect<ReturnType<typeof Messages.product>, Busy | InFlight | IdempotencyMismatch> => {
            created.push({ ...request, caller: options?.caller })
            switch (request.name) {
              case "busy":
                return Effect.fail(new Busy({ id: 9, status: "draft" }))
              case "twice":
                return Effect.fail(new InFlight({ id: 9 }))
              case "again":
                return Effect.succeed(Messages.product({ id: 78n, replayed: true }))
              case "other":
                return Effect.fail(new IdempotencyMismatch({}))
              default:
                return Effect.succeed(
                  Messages.product({
                    id: 77n,
                    name: request.name!,
                    startTimeMs: request.startTimeMs!,
                    endTimeMs: 0n,
                  }),
                )
            }
          },
        ),
    },
  }),
  live,
)("products", (it) => {
  const good = () => ({ name: "Phone", price: 9_900, stock: 100, start_time: inMs(HOUR_MS) })

  describe("reading", () => {
    it.effect("both paths show the same product, and a current copy is 304", () =>
      Effect.gen(function* () {
        const { ask } = yield* TestEdge.TestEdge
        const one = yield* ask("/product/42")
        const alias = yield* ask("/products/42")
        assert.strictEqual(one.status, 200)
        assert.strictEqual(one.text, alias.text)
        assert.deepInclude(one.json.data, {
          id: 42,
          price: 9_900,
          original_price: 19_900,
          end_time: null,
          status: "upcoming",
          access: { challenge: false, waiting_room: false },
          version: 3,
        })
        const etag = String(one.headers.etag)
        for (const tag of [etag, `"x", ${etag}`, "*", etag.replace("W/", "")]) {
          const current = yield* ask("/products/42", { headers: { "if-none-match": tag } })
          assert.strictEqual(current.status, 304, tag)
          assert.strictEqual(current.text, "")
          assert.strictEqual(current.headers.etag, etag)
          assert.match(String(current.headers["x-trace-id"]), /^[0-9a-f]{32}$/)
        }
        const stale = yield* ask("/products/42", { headers: { "if-none-match": '"other"' } })
        assert.strictEqual(stale.status, 200)
      }),
    )

    it.effect("a crowd's reads are few calls, unknown ids too", () =>
      Effect.gen(function* () {
        const { ask } = yield* TestEdge.TestEdge
        reads = 0
        const answers = yield* Effect.all(
          Array.from({ length: 200 }, () => ask("/product/404404")),
          { concurrency: 20 },
        )
        assert.isTrue(answers.every((answer) => answer.status === 404 && answer.json.code === 404))
        assert.strictEqual(reads, 1)
      }),
    )

    for (const id of [
      "0",
      "-1",
      "1e3",
      "NaN",
      "abc",
      "1.5",
      "01",
      "+1",
      "9007199254740992",
      "9".repeat(40),
      "1%20",
      "0x1",
    ]) {
      it.effect(`the id ${id.slice(0, 20)} is 400`, () =>
        Effect.gen(function* () {
          const { ask } = yield* TestEdge.TestEdge
          for (const path of [`/product/${id}`, `/products/${id}`]) {
            const answer = yield* ask(path)
            assert.deepStrictEqual([answer.status, answer.json.code], [400, 400])
            assert.strictEqual(answer.json.data.issues[0].path, "id")
          }
        }),
      )
    }

    it.effect("lists by status, with limit and cursor", () =>
      Effect.gen(function* () {
        const { ask } = yield* TestEdge.TestEdge
        const page = yield* ask("/products?status=sold_out&limit=100&cursor=abc")
        assert.strictEqual(page.status, 200)
        assert.strictEqual(page.json.data.next_cursor, "more")
        assert.lengthOf(page.json.data.items, 1)
        const request = { status: ProductStatus.SOLD_OUT, pageSize: 100, pageToken: "abc" }
        assert.deepStrictEqual(listed.at(-1), request)
        yield* ask("/products")
        const all = { status: ProductStatus.UNSPECIFIED, pageSize: 20, pageToken: "" }
        assert.deepStrictEqual(listed.at(-1), all)
      }),
    )

    for (const query of [
      "limit=0",
      "limit=101",
      "limit=1e9",
      "limit=1e1",
      "limit=-1",
      "limit=",
      "limit=1&limit=2",
      "status=draft",
      "status=",
      "cursor=%00",
      `cursor=${"a".repeat(600)}`,
      "offset=3",
    ]) {
      it.effect(`?${query.slice(0, 30)} is 400`, () =>
        Effect.gen(function* () {
          const { ask } = yield* TestEdge.TestEdge
          const answer = yield* ask(`/products?${query}`)
          assert.deepStrictEqual([answer.status, answer.json.code], [400, 400])
          assert.isNotEmpty(answer.json.data.issues)
        }),
      )
    }
  })

  describe("publishing", () => {
    it.effect("201 with the product and where it is, and the next read shows it", () =>
      Effect.gen(function* () {
        const { ask } = yield* TestEdge.TestEdge
        assert.strictEqual((yield* ask("/product/77")).status, 404)
        const body = {
          ...good(),
          end_time: inMs(2 * HOUR_MS),
          per_user_limit: 2,
          description: "秒杀; DROP TABLE product;--\nsecond line",
          original_price: 19_900,
          image: "https://cdn.shop.example/p.png",
          access: { challenge: true },
        }
        const answer = yield* ask("/products", { body, headers: { ...operator, "idempotency-key": "k 1" } })
        assert.strictEqual(answer.status, 201, answer.text)
        assert.strictEqual(answer.json.data.id, 77)
        assert.strictEqual(answer.json.data.status, "upcoming")
        assert.strictEqual(answer.headers.location, "/products/77")
        const request = created.at(-1)
        assert.deepInclude(request, {
          price: 9_900n,
          originalPrice: 19_900n,
          stock: 100n,
          startTimeMs: BigInt(Date.parse(body.start_time)),
          endTimeMs: BigInt(Date.parse(body.end_time)),
          perUserLimit: 2,
          description: body.description,
          image: body.image,
          access: { challenge: true, waitingRoom: false },
          publisherId: 3n,
          idempotencyKey: "k 1",
          caller: { user_id: 3, username: "operator", roles: ["operator"] },
        })
        assert.match(request.bodyHash, /^[0-9a-f]{64}$/)
        assert.strictEqual((yield* ask("/product/77")).status, 200)
      }),
    )

    it.effect("the same wish has the same hash, however it is written", () =>
      Effect.gen(function* () {
        const { ask } = yield* TestEdge.TestEdge
        const body = good()
        const hash = (text: string) =>
          Effect.map(ask("/products", { body: text, headers: operator }), () => created.at(-1).bodyHash)
        const first = yield* hash(JSON.stringify(body))
        const { name, ...rest } = body
        assert.strictEqual(
          yield* hash(JSON.stringify({ ...rest, per_user_limit: 1, name }, undefined, 2)),
          first,
        )
        assert.notStrictEqual(yield* hash(JSON.stringify({ ...body, stock: 101 })), first)
      }),
    )

    const wrong: ReadonlyArray<readonly [name: string, change: object, path: string]> = [
      ["a past start", { start_time: inMs(-1_000) }, "start_time"],
      ["no start", { start_time: undefined }, "start_time"],
      ["a start that is no time", { start_time: "tomorrow" }, "start_time"],
      ["a start on 30 February", { start_time: "2027-02-30T00:00:00Z" }, "start_time"],
      ["a start as a number", { start_time: 1_900_000_000_000 }, "start_time"],
      ["an end before the start", { end_time: inMs(1_000) }, "end_time"],
      ["price 0", { price: 0 }, "price"],
      ["a fractional price", { price: 99.5 }, "price"],
      ["a price as text", { price: "9900" }, "price"],
      ["a price above the bound", { price: 10 ** 10 + 1 }, "price"],
      ["an infinite price", { price: Number.POSITIVE_INFINITY }, "price"],
      ["stock 0", { stock: 0 }, "stock"],
      ["a negative stock", { stock: -1 }, "stock"],
      ["a stock above the bound", { stock: 10 ** 7 + 1 }, "stock"],
      ["an empty name", { name: "" }, "name"],
      ["a blank name", { name: "   " }, "name"],
      ["a long name", { name: "a".repeat(121) }, "name"],
      ["a name with a line end", { name: "a\r\nset-cookie: x" }, "name"],
      ["a name with NUL", { name: "a\0b" }, "name"],
      ["a name that reads backwards", { name: "a\u202eb" }, "name"],
      ["a long description", { description: "a".repeat(2_001) }, "description"],
      ["a limit of 0", { per_user_limit: 0 }, "per_user_limit"],
      ["a limit of 101", { per_user_limit: 101 }, "per_user_limit"],
      ["a status", { status: "live" }, "status"],
      ["an unknown access rule", { access: { vip: true } }, "access.vip"],
      ["a private image", { image: "https://127.0.0.1/x.png" }, "image"],
      ["a file as image", { image: "file:///etc/passwd" }, "image"],
      ["a script as image", { image: "javascript:alert(1)" }, "image"],
    ]
    for (const [name, change, path] of wrong) {
      it.effect(`${name} is 400`, () =>
        Effect.gen(function* () {
          const { ask } = yield* TestEdge.TestEdge
          const answer = yield* ask("/products", { body: { ...good(), ...change }, headers: operator })
          assert.deepStrictEqual([answer.status, answer.json.code], [400, 400], answer.text)
          assert.deepStrictEqual(
            answer.json.data.issues.map((issue: { path: string }) => issue.path),
            [path],
          )
        }),
      )
    }

    it.effect("several mistakes are told at once", () =>
      Effect.gen(function* () {
        const { ask } = yield* TestEdge.TestEdge
        const body = { name: "", price: 0, stock: -1, image: "x", role: 1 }
        const answer = yield* ask("/products", { body, headers: operator })
        const paths = answer.json.data.issues.map((issue: { path: string }) => issue.path)
        assert.sameMembers(paths, ["name", "price", "stock", "image", "role", "start_time"])
      }),
    )

    it.effect("a replay says so", () =>
      Effect.gen(function* () {
        const { ask } = yield* TestEdge.TestEdge
        const again = yield* ask("/products", { body: { ...good(), name: "again" }, headers: operator })
        assert.strictEqual(again.status, 201)
        assert.strictEqual(again.headers["idempotent-replayed"], "true")
        const first = yield* ask("/products", { body: good(), headers: operator })
        assert.isUndefined(first.headers["idempotent-replayed"])
      }),
    )

    it.effect("what inventory refuses keeps its code and data", () =>
      Effect.gen(function* () {
        const { ask } = yield* TestEdge.TestEdge
        const publish = (name: string) => ask("/products", { body: { ...good(), name }, headers: operator })
        const busy = yield* publish("busy")
        assert.deepStrictEqual([busy.status, busy.json.code], [503, 530])
        assert.deepStrictEqual(busy.json.data, { id: 9, status: "draft" })
        const twice = yield* publish("twice")
        assert.deepStrictEqual([twice.status, twice.json.code, twice.json.data], [409, 522, { id: 9 }])
        const other = yield* publish("other")
        assert.deepStrictEqual([other.status, other.json.code], [422, 521])
      }),
    )

    it.effect("a bad idempotency key is 400; a customer is 403 and told what is missing", () =>
      Effect.gen(function* () {
        const { ask } = yield* TestEdge.TestEdge
        const long = { ...operator, "idempotency-key": "a".repeat(256) }
        const key = yield* ask("/products", { body: good(), headers: long })
        assert.deepStrictEqual([key.status, key.json.data.issues[0].path], [400, "idempotency-key"])
        const customer = yield* ask("/products", { body: good(), headers: bearer({ userId: 7 }) })
        assert.deepStrictEqual([customer.status, customer.json.code], [403, 403])
        assert.deepStrictEqual(customer.json.data, { permission: "product:write" })
      }),
    )
  })
})
