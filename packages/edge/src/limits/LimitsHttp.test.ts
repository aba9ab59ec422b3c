/** Every row of the table of limits over real HTTP. */
import { create } from "@bufbuild/protobuf"
import { assert, describe, it, layer } from "@effect/vitest"
import { catalogue } from "@floodgate/contracts/errors/Catalogue"
import { WrongCredentials } from "@floodgate/contracts/errors/Errors"
import { SessionSchema } from "@floodgate/contracts/gen/floodgate/identity/v1/identity_pb"
import { ReserveCode } from "@floodgate/contracts/sale/ReserveCode"
import * as Effect from "effect/Effect"
import type * as FakePeers from "../testing/FakePeers.ts"
import * as Messages from "../testing/Messages.ts"
import * as TestEdge from "../testing/TestEdge.ts"
import { table } from "./LimitTable.ts"

const live = { excludeTestServices: true } as const

let users = 1_000
let addresses = 0
const newUser = () => ++users
const newAddress = () => `203.0.${++addresses >> 8}.${addresses & 255}`

const peers: FakePeers.Peers = {
  identity: {
    login: ({ password }) =>
      password === "right password"
        ? Effect.succeed(create(SessionSchema, { accessToken: "a", refreshToken: "r", user: { id: 7n } }))
        : Effect.fail(new WrongCredentials({})),
    register: ({ username }) => Effect.succeed(Messages.user({ username: username! })),
    getUser: () => Effect.succeed(Messages.user()),
  },
  inventory: {
    getProduct: ({ productId }) => Effect.succeed(Messages.product({ id: productId! })),
    reserveBatch: ({ userId }) =>
      Effect.succeed(
        Messages.reserved(
          userId!.map((id) => [ReserveCode.RESERVED, `num-${id}`] as const),
          { serverTimeMs: BigInt(Date.now()) },
        ),
      ),
  },
  payment: { createIntent: () => Effect.succeed(Messages.payment()) },
}

interface Sent {
  readonly userId?: number
  readonly address?: string
  readonly body?: unknown
  readonly headers?: Record<string, string>
}

const send = (path: string, { address, body, headers, userId }: Sent) =>
  Effect.flatMap(TestEdge.TestEdge, (edge) =>
    edge.ask(path, {
      headers: {
        "x-forwarded-for": address ?? newAddress(),
        ...(userId === undefined ? undefined : TestEdge.bearer({ userId })),
        ...headers,
      },
      ...(body === undefined ? undefined : { body }),
    }),
  )

/** How many of so many at once get through, and what the others are told. */
const flood = (times: number, path: string, sent: (i: number) => Sent) =>
  Effect.map(
    Effect.forEach(
      Array.from({ length: times }, (_, i) => i),
      (i) => send(path, sent(i)),
      { concurrency: 128 },
    ),
    (answers) => {
      const refused = answers.filter(({ status }) => status === 429)
      for (const answer of refused) {
        assert.match(answer.headers["retry-after"] ?? "", /^[1-9]\d*$/)
        assert.isAbove(answer.json.data.retry_after_ms, 0)
        assert.strictEqual(answer.headers["x-error-doc"], `/docs/errors/${answer.json.code}`)
      }
      return {
        through: answers.length - refused.length,
        codes: [...new Set(refused.map(({ json }) => json.code as number))],
      }
    },
  )

/** A flood takes a while, in which tokens come back. */
const within = (through: number, least: number, more: number) =>
  assert.isTrue(through >= least && through <= least + more, `${through} of ${least} got through`)

const admin = TestEdge.bearer({ userId: 1, roles: ["admin"] })

const put = (name: string, body: unknown) =>
  Effect.flatMap(TestEdge.TestEdge, (edge) =>
    edge.ask(`/admin/limits/${name}`, { method: "PUT", headers: admin, body }),
  )

const lower = (name: string, burst: number) => put(name, { rate: 1, burst, reason: "a smaller crowd" })

const limits = () => TestEdge.layer(peers, {}, undefined, { limits: TestEdge.defaultLimits })

it("the table has the contract's numbers", () => {
  const numbers = Object.entries(table).map(([name, row]) => [
    name,
    row.rate,
    row.periodS,
    row.burst,
    catalogue[row.refusal].code,
  ])
  assert.deepStrictEqual(numbers, [
    ["login-failures", 10, 60, 10, 429],
    ["sign-in", 30, 60, 20, 429],
    ["seckill-user", 5, 1, 20, 429],
    ["seckill-address", 100, 1, 300, 702],
    ["seckill-device", 10, 600, 10, 702],
    ["seckill-product", 1_000, 1, 2_000, 429],
    ["pay", 2, 1, 10, 429],
    ["callback", 200, 1, 400, 429],
    ["default", 50, 1, 200, 429],
  ])
})

layer(limits(), live)("limits over HTTP", (it) => {
  it.effect("sign-in: 20 at once by address, logins and registrations together", () =>
    Effect.gen(function* () {
      const address = newAddress()
      const { codes, through } = yield* flood(30, "/login", (i) => ({
        address,
        body: { username: `user_${i}`, password: "right password" },
      }))
      within(through, 20, 3)
      assert.deepStrictEqual(codes, [429])
      const refused = yield* send("/register", {
        address,
        body: { username: "another_user", password: "correct horse battery" },
      })
      assert.deepStrictEqual([refused.status, refused.json.code], [429, 429])
      assert.strictEqual(
        (yield* send("/login", { body: { username: "user_1", password: "right password" } })).status,
        200,
      )
    }),
  )

  it.effect("failed logins: ten by account and address; from elsewhere the right password gets in", () =>
    Effect.gen(function* () {
      const address = newAddress()
      const guess = (username: string, password: string, from: string) =>
        send("/login", { address: from, body: { username, password } })
      const guesses = yield* Effect.forEach(
        Array.from({ length: 14 }),
        () => guess("victim", "a wrong guess", address),
        { concurrency: 14 },
      )
      assert.strictEqual(guesses.filter(({ json }) => json.code === 502).length, 10)
      assert.strictEqual(guesses.filter(({ json }) => json.code === 429).length, 4)
      for (const { headers, status } of guesses)
        if (status === 429) assert.match(headers["retry-after"]!, /^\d+$/)
      assert.strictEqual((yield* guess("VICTIM", "right password", address)).status, 429)
      assert.strictEqual((yield* guess("victim", "right password", newAddress())).status, 200)
      assert.strictEqual((yield* guess("neighbour", "right password", address)).status, 200)
      // Signing in costs nothing of it.
      const own = newAddress()
      for (let i = 0; i < 12; i++) {
        assert.strictEqual((yield* guess("regular", "right password", own)).status, 200)
      }
    }),
  )

  it.effect("seckill by user: a burst of 20, whatever the address", () =>
    Effect.gen(function* () {
      const userId = newUser()
      const { codes, through } = yield* flood(60, "/seckill", () => ({ userId, body: { product_id: 1 } }))
      within(through, 20, 12)
      assert.deepStrictEqual(codes, [429])
    }),
  )

  // The larger numbers are lowered first: a busy test machine is slower than they are.
  it.effect("seckill by address, whoever asks, with or without a good token", () =>
    Effect.gen(function* () {
      yield* lower("seckill-address", 40)
      const address = newAddress()
      const { codes, through } = yield* flood(120, "/seckill", (i) => ({
        ...(i % 2 === 0 ? { userId: newUser() } : undefined),
        address,
        body: { product_id: 2 },
      }))
      within(through, 40, 20)
      assert.deepStrictEqual(codes, [702])
    }),
  )

  it.effect("an IPv6 /64 is one address", () =>
    Effect.gen(function* () {
      const { through } = yield* flood(30, "/login", (i) => ({
        address: `2001:db8:1:2::${i.toString(16)}`,
        body: { username: `six_${i}`, password: "right password" },
      }))
      within(through, 20, 3)
    }),
  )

  it.effect("pay: ten at once by user", () =>
    Effect.gen(function* () {
      const userId = newUser()
      const { codes, through } = yield* flood(30, `/orders/${Messages.orderNum}/pay`, (i) => ({
        userId,
        body: { channel: "balance" },
        headers: { "idempotency-key": `k${i}` },
      }))
      within(through, 10, 4)
      assert.deepStrictEqual(codes, [429])
      assert.notStrictEqual(
        (yield* send(`/orders/${Messages.orderNum}/pay`, {
          userId: newUser(),
          body: { channel: "balance" },
          headers: { "idempotency-key": "k" },
        })).status,
        429,
      )
    }),
  )

  it.effect("callbacks by channel, one channel apart from the other", () =>
    Effect.gen(function* () {
      yield* lower("callback", 40)
      const { codes, through } = yield* flood(120, "/payment/callback/no-such", () => ({ body: {} }))
      within(through, 40, 20)
      assert.deepStrictEqual(codes, [429])
      assert.notStrictEqual((yield* send("/payment/callback/another", { body: {} })).status, 429)
    }),
  )

  it.effect("everything else by user, and by address for whoever isn't signed in", () =>
    Effect.gen(function* () {
      yield* lower("default", 40)
      const userId = newUser()
      const signedIn = yield* flood(120, "/profile", () => ({ userId }))
      within(signedIn.through, 40, 20)
      const address = newAddress()
      const anonymous = yield* flood(120, "/profile", () => ({ address }))
      within(anonymous.through, 40, 20)
      assert.deepStrictEqual([...signedIn.codes, ...anonymous.codes], [429, 429])
      assert.strictEqual((yield* send("/profile", { userId: newUser(), address })).status, 200)
      for (let i = 0; i < 3; i++) assert.notStrictEqual((yield* send("/livez", { address })).status, 429)
    }),
  )

  it.effect("what an untrusted peer says of its address is nothing", () =>
    Effect.gen(function* () {
      // The last hop is none of our proxies: what stands before it is whatever the client wrote.
      const { through } = yield* flood(30, "/login", (i) => ({
        address: `1.2.3.${i}, 198.51.100.7`,
        body: { username: `liar_${i}`, password: "right password" },
      }))
      within(through, 20, 3)
    }),
  )

  describe("changes", () => {
    it.effect("one product's own limit: over it 429, and another product never notices", () =>
      Effect.gen(function* () {
        const set = yield* put("seckill-product", { rate: 1, burst: 5, product_id: 77, reason: "hot" })
        assert.deepInclude(set.json.data, {
          name: "seckill-product",
          product_id: 77,
          rate: 1,
          burst: 5,
          period_s: 1,
          version: 2,
          default: { rate: 1_000, burst: 2_000 },
        })
        const buy = (productId: number) =>
          flood(60, "/seckill", () => ({ userId: newUser(), body: { product_id: productId } }))
        const [hot, cold] = yield* Effect.all([buy(77), buy(78)], { concurrency: 2 })
        within(hot.through, 5, 8)
        assert.deepStrictEqual(hot.codes, [429])
        assert.strictEqual(cold.through, 60)
      }),
    )

    it.effect("are told by number and version, and refused where they make no sense", () =>
      Effect.gen(function* () {
        const edge = yield* TestEdge.TestEdge
        const before = yield* edge.ask("/admin/limits/pay", { headers: admin })
        assert.deepInclude(before.json.data, { rate: 2, burst: 10, version: 1, updated_at: null, code: 429 })
        const stale = yield* put("pay", { rate: 9, burst: 9, version: 7, reason: "x" })
        assert.deepStrictEqual([stale.status, stale.json.code, stale.json.data.version], [409, 525, 1])
        assert.strictEqual((yield* put("pay", { rate: 9, burst: 90, version: 1, reason: "x" })).status, 200)
        const list = yield* edge.ask("/admin/limits", { headers: admin })
        const pay = list.json.data.items.find((item: any) => item.name === "pay")
        assert.deepInclude(pay, { rate: 9, burst: 90, version: 2, default: { rate: 2, burst: 10 } })
        for (const [name, body] of [
          ["pay", { rate: 0, burst: 1, reason: "off" }],
          ["pay", { rate: 1, burst: 1 }],
          ["pay", { rate: 1, burst: 1, product_id: 3, reason: "x" }],
          ["pay", { rate: 1.5, burst: 1, reason: "x" }],
          ["no-such", { rate: 1, burst: 1, reason: "x" }],
        ] as const) {
          const answer = yield* put(name, body)
          assert.strictEqual(answer.status, 400, JSON.stringify([name, body]))
        }
      }),
    )
  })
})
