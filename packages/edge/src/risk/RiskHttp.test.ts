/** Lists, rules, devices and challenges over real HTTP, on two edges with one database and one Redis. */
import { createHash } from "node:crypto"
import { create } from "@bufbuild/protobuf"
import { assert, layer } from "@effect/vitest"
import { ListRevocationsResponseSchema } from "@floodgate/contracts/gen/floodgate/identity/v1/identity_pb"
import { ReserveCode } from "@floodgate/contracts/sale/ReserveCode"
import { Mysql } from "@floodgate/runtime/mysql/Mysql"
import { Redis } from "@floodgate/runtime/redis/Redis"
import * as TestMysql from "@floodgate/runtime/testing/TestMysql"
import * as TestRedis from "@floodgate/runtime/testing/TestRedis"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ProofOfWork from "../challenge/ProofOfWork.ts"
import type * as FakePeers from "../testing/FakePeers.ts"
import * as Messages from "../testing/Messages.ts"
import * as TestEdge from "../testing/TestEdge.ts"
import * as RiskStore from "./RiskStore.ts"
import * as WindowStore from "./WindowStore.ts"

const live = { excludeTestServices: true } as const
const BANNED_ID = 66
/** Products whose own access asks for a challenge, and for a waiting room as well. */
const CHALLENGED = 700
const BOTH = 701

let users = 100_000
let addresses = 0
const newUser = () => ++users
const newAddress = () => `198.51.${++addresses >> 8}.${addresses & 255}`

const peers: FakePeers.Peers = {
  identity: {
    listRevocations: () =>
      Effect.succeed(
        create(ListRevocationsResponseSchema, {
          revision: 1n,
          entries: [{ userId: BigInt(BANNED_ID), banned: true, notBeforeMs: 1n, revision: 1n }],
        }),
      ),
    getUser: () => Effect.succeed(Messages.user()),
    login: () => Effect.succeed(Messages.session()),
    register: ({ username }) =>
      Effect.succeed(
        Messages.user({ id: BigInt(newUser()), username: username!, createdAtMs: BigInt(Date.now()) }),
      ),
  },
  inventory: {
    getProduct: ({ productId }) =>
      Effect.succeed(
        Messages.product({
          id: productId!,
          endTimeMs: 0n,
          access: {
            challenge: productId === BigInt(CHALLENGED) || productId === BigInt(BOTH),
            waitingRoom: productId === BigInt(BOTH),
          },
        }),
      ),
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

class Edges extends Context.Tag("Edges")<
  Edges,
  readonly [TestEdge.TestEdge["Type"], TestEdge.TestEdge["Type"]]
>() {}

/** Two edges of one house. */
const edges = Layer.scoped(
  Edges,
  Effect.gen(function* () {
    const mysql = yield* Mysql
    const redis = yield* Redis
    const one = () =>
      Effect.map(
        Layer.build(
          Layer.fresh(
            TestEdge.layer(peers, {}, undefined, {
              limits: TestEdge.raisedBut("seckill-device"),
              risk: RiskStore.layer.pipe(Layer.provide(Layer.succeed(Mysql, mysql))),
              windows: Layer.effect(WindowStore.WindowStore, WindowStore.make(5_000)).pipe(
                Layer.provide(Layer.succeed(Redis, redis)),
                Layer.orDie,
              ),
            }),
          ),
        ),
        (context) => Context.get(context, TestEdge.TestEdge),
      )
    return [yield* one(), yield* one()] as const
  }),
).pipe(
  Layer.provideMerge(TestMysql.layer({ migrations: ["edge"], main: "edge" })),
  Layer.provideMerge(TestRedis.layer),
)

interface Sent {
  readonly userId?: number
  readonly address?: string
  readonly body?: unknown
  readonly headers?: Record<string, string>
  readonly method?: string
  readonly at?: 0 | 1
}

const send = (path: string, { address, at, body, headers, method, userId }: Sent = {}) =>
  Effect.flatMap(Edges, (both) =>
    both[at ?? 0].ask(path, {
      headers: {
        "x-forwarded-for": address ?? newAddress(),
        ...(userId === undefined ? undefined : TestEdge.bearer({ userId })),
        ...headers,
      },
      ...(method === undefined ? undefined : { method }),
      ...(body === undefined ? undefined : { body }),
    }),
  )

const buy = (productId: number, sent: Sent & { readonly ticket?: string } = {}) =>
  send("/seckill", {
    userId: newUser(),
    ...sent,
    body: { product_id: productId, ...(sent.ticket === undefined ? undefined : { ticket: sent.ticket }) },
  })

const codeOf = ({ json }: TestEdge.Answer): number => json.code

const admin = TestEdge.bearer({ userId: 1, roles: ["risk"] })
const write = (method: string, path: string, body: object) =>
  send(path, { method, headers: admin, body: { reason: "a test", ...body } })
const list = (cidr: string, name: string, more: object = {}) =>
  Effect.tap(write("PUT", "/admin/risk/ip-list", { cidr, list: name, ...more }), (answer) =>
    assert.strictEqual(answer.status, 200, answer.text),
  )
const unlist = (cidr: string) => write("DELETE", "/admin/risk/ip-list", { cidr })
const rule = (body: object) =>
  Effect.map(write("POST", "/admin/risk/rules", body), (answer) => {
    assert.strictEqual(answer.status, 201, answer.text)
    return answer.json.data as { readonly id: number; readonly version: number }
  })

/** Within a second of `beganMs`, or it is a failure. */
const soon = <E, R>(beganMs: number, condition: Effect.Effect<boolean, E, R>) =>
  Effect.gen(function* () {
    while (!(yield* condition)) {
      assert.isBelow(performance.now() - beganMs, 1_000, "not in force within a second")
      yield* Effect.sleep(10)
    }
  })

const records = (query: string) =>
  Effect.gen(function* () {
    for (let tries = 0; tries < 300; tries++) {
      const { json } = yield* send(`/admin/risk/records?${query}`, { headers: admin })
      if (json.data.items.length > 0) return json.data.items as ReadonlyArray<any>
      yield* Effect.sleep(20)
    }
    return assert.fail(`no record for ${query}`)
  })

const solved = (productId: number, sent: Sent & { readonly ticket?: string }) =>
  Effect.gen(function* () {
    const posed = yield* send("/challenge", { ...sent, body: { product_id: productId } })
    assert.strictEqual(posed.status, 200, posed.text)
    const { bits, id, nonce } = posed.json.data
    const solution = ProofOfWork.solve(nonce, bits)
    const answer = yield* send(`/challenge/${id}`, {
      ...sent,
      body: { solution, ...(sent.ticket === undefined ? undefined : { ticket: sent.ticket }) },
    })
    return { ...posed.json.data, solution, answer, ticket: answer.json.data?.ticket as string }
  })

layer(edges, live)("risk over HTTP", (it) => {
  it.effect(
    "a black address is refused with 703 on both edges within a second, and let in again when it is taken off",
    () =>
      Effect.gen(function* () {
        const address = newAddress()
        const userId = newUser()
        assert.strictEqual(codeOf(yield* buy(1, { address, userId })), 0)
        yield* list(`${address}/32`, "black")
        const beganMs = performance.now()
        const here = yield* buy(1, { address, userId })
        assert.deepStrictEqual([here.status, codeOf(here)], [403, 703])
        yield* soon(
          beganMs,
          Effect.map(buy(1, { address, userId, at: 1 }), (answer) => codeOf(answer) === 703),
        )
        for (const [path, sent] of [
          ["/products/1", {}],
          ["/login", { body: { username: "somebody", password: "right password" } }],
          ["/profile", { userId }],
        ] as const) {
          assert.strictEqual(codeOf(yield* send(path, { address, ...sent })), 703, path)
        }
        assert.strictEqual((yield* send("/livez", { address })).status, 200)
        const status = yield* send("/risk/status", { address, userId })
        assert.deepInclude(status.json.data, { standing: "blocked", until: null })
        const [found] = yield* records(`ip=${address}`)
        assert.deepInclude(found, { decision: "block", code: 703, ip: address, rule_id: null })
        assert.deepInclude(found.evidence, { list: "black", cidr: `${address}/32` })
        yield* unlist(`${address}/32`)
        assert.strictEqual(codeOf(yield* buy(1, { address, userId: newUser() })), 0)
      }),
  )

  it.effect("an entry ends when it expires", () =>
    Effect.gen(function* () {
      const address = newAddress()
      yield* list(address, "black", { expires_at: new Date(Date.now() + 3_000).toISOString() })
      assert.strictEqual(codeOf(yield* buy(1, { address })), 703)
      const status = yield* send("/risk/status", { address, userId: newUser() })
      assert.isNotNull(status.json.data.until)
      yield* soon(
        performance.now() + 3_000,
        Effect.map(buy(1, { address }), (answer) => codeOf(answer) === 0),
      )
    }),
  )

  it.effect("white wins over black and over rules, but not over a ban", () =>
    Effect.gen(function* () {
      const address = "203.0.113.9"
      yield* list("203.0.113.0/24", "black")
      yield* list(address, "white")
      assert.strictEqual(codeOf(yield* buy(1, { address: "203.0.113.10" })), 703)
      assert.strictEqual(codeOf(yield* buy(1, { address })), 0)
      const banned = yield* buy(1, { address, userId: BANNED_ID })
      assert.deepStrictEqual([banned.status, codeOf(banned)], [403, 701])
      const headers = { "x-device-id": "everybody's-phone" }
      for (let i = 0; i < 14; i++) assert.strictEqual(codeOf(yield* buy(1, { address, headers })), 0)
    }),
  )

  it.effect("many accounts on one device: ten, on whichever edge, then 429/702", () =>
    Effect.gen(function* () {
      const signed = TestEdge.devices.issue()
      for (const headers of [
        { "x-device-id": `shared-${newUser()}` },
        { "x-device-id": signed },
      ] as ReadonlyArray<Record<string, string>>) {
        const codes: Array<number> = []
        for (let i = 0; i < 14; i++) {
          const answer = yield* buy(2, { headers, at: (i % 2) as 0 | 1 })
          codes.push(codeOf(answer))
          if (answer.status === 429) assert.match(answer.headers["retry-after"]!, /^[1-9]\d*$/)
        }
        assert.deepStrictEqual(codes, [...Array(10).fill(0), ...Array(4).fill(702)])
      }
      // The cookie says the same as the header.
      assert.strictEqual(codeOf(yield* buy(2, { headers: { cookie: `a=b; fg_device=${signed}` } })), 702)
      // An account of the ten goes on; and what has no device shares none.
      const shared = { "x-device-id": "phone-of-one" }
      const userId = newUser()
      for (let i = 0; i < 12; i++) assert.strictEqual(codeOf(yield* buy(2, { headers: shared, userId })), 0)
      for (let i = 0; i < 14; i++) assert.strictEqual(codeOf(yield* buy(2)), 0)
    }),
  )

  it.effect("accounts that all come at once on one device: ten get through", () =>
    Effect.gen(function* () {
      const headers = { "x-device-id": `at-once-${newUser()}` }
      const answers = yield* Effect.forEach(Array.from({ length: 25 }), () => buy(3, { headers }), {
        concurrency: "unbounded",
      })
      assert.strictEqual(answers.filter((answer) => codeOf(answer) === 0).length, 10)
      assert.strictEqual(answers.filter((answer) => codeOf(answer) === 702).length, 15)
    }),
  )

  it.effect("a device id is issued once, can't be forged, and is the same device in the header", () =>
    Effect.gen(function* () {
      const first = yield* send("/login", { body: { username: "alice", password: "right password" } })
      const [cookie = ""] = first.headers["set-cookie"] ?? []
      assert.match(
        cookie,
        /^fg_device=[\w-]{22}\.[\w-]{22}; Path=\/; Max-Age=31536000; HttpOnly; SameSite=Lax$/,
      )
      const id = cookie.slice("fg_device=".length, cookie.indexOf(";"))
      for (const headers of [{ cookie: `fg_device=${id}` }, { "x-device-id": id }]) {
        const again = yield* send("/profile", {
          userId: newUser(),
          headers: headers as Record<string, string>,
        })
        assert.isUndefined(again.headers["set-cookie"])
      }
      assert.isTrue(TestEdge.devices.of({ cookie: `fg_device=${id}` })?.signed)
      const forged = `${id.startsWith("A") ? "B" : "A"}${id.slice(1)}`
      assert.isFalse(TestEdge.devices.of({ "x-device-id": forged })?.signed)
      // What caches may keep carries none.
      assert.isUndefined((yield* send("/products/1")).headers["set-cookie"])
    }),
  )

  it.effect("changing or leaving out the device id raises no limit of the address", () =>
    Effect.gen(function* () {
      const lowered = yield* send("/admin/limits/seckill-address", {
        method: "PUT",
        headers: admin,
        body: { rate: 1, burst: 15, reason: "a smaller crowd" },
      })
      assert.strictEqual(lowered.status, 200)
      for (const headersOf of [
        (i: number) => ({ "x-device-id": `changing-${i}` }),
        () => ({}),
        () => ({ "x-device-id": TestEdge.devices.issue() }),
      ]) {
        const address = newAddress()
        const answers = yield* Effect.forEach(
          Array.from({ length: 45 }, (_, i) => i),
          (i) => buy(2, { address, headers: headersOf(i) as Record<string, string> }),
          { concurrency: 15 },
        )
        const through = answers.filter((answer) => codeOf(answer) === 0).length
        // One comes back each second, and a busy test machine takes some.
        assert.isTrue(through >= 15 && through <= 30, `${through} got through`)
        assert.isTrue(answers.every((answer) => [0, 702].includes(codeOf(answer))))
      }
      yield* send("/admin/limits/seckill-address", {
        method: "PUT",
        headers: admin,
        body: { rate: 1_000_000, burst: 1_000_000, reason: "as it was" },
      })
    }),
  )

  it.effect("grey: 704, a proof of work, a ticket, and in; the ticket is nobody else's", () =>
    Effect.gen(function* () {
      const address = newAddress()
      yield* list(address, "grey")
      const userId = newUser()
      const headers = { "x-device-id": TestEdge.devices.issue() }
      const asked = yield* buy(4, { address, userId, headers })
      assert.deepStrictEqual([asked.status, codeOf(asked)], [403, 704])
      assert.deepStrictEqual(asked.json.data, { kind: "pow-sha256", product_id: 4 })
      const status = yield* send("/risk/status", { address, userId, headers })
      assert.strictEqual(status.json.data.standing, "challenge")
      const { answer, bits, id, nonce, solution, ticket } = yield* solved(4, { address, userId, headers })
      assert.isAbove(bits, TestEdge.CHALLENGE_BITS, "suspicion makes it harder")
      assert.strictEqual(answer.status, 200, answer.text)
      assert.approximately(Date.parse(answer.json.data.expires_at) - Date.now(), 60_000, 5_000)
      const digest = createHash("sha256")
        .update(nonce + solution)
        .digest()
      assert.isAtLeast(ProofOfWork.zeroBits(digest), bits)
      assert.strictEqual(codeOf(yield* buy(4, { address, userId, headers, ticket })), 0)
      for (const stolen of [
        { address, userId: newUser(), headers, product: 4 },
        { address, userId, headers: { "x-device-id": TestEdge.devices.issue() }, product: 4 },
        { address, userId, headers, product: 5 },
      ]) {
        assert.strictEqual(codeOf(yield* buy(stolen.product, { ...stolen, ticket })), 704)
      }
      const other = yield* send(`/challenge/${id}`, { userId: newUser(), headers, body: { solution } })
      assert.strictEqual(other.status, 404)
      const forged = yield* send(`/challenge/${id.slice(0, -2)}AA`, { userId, headers, body: { solution } })
      assert.strictEqual(forged.status, 404)
      let wrong = 0
      while (ProofOfWork.isSolution(nonce, bits, `x${wrong}`)) wrong++
      const refused = yield* send(`/challenge/${id}`, { userId, headers, body: { solution: `x${wrong}` } })
      assert.deepStrictEqual([refused.status, refused.json.data.issues[0].path], [400, "solution"])
    }),
  )

  it.effect("a product that asks for a challenge asks everybody; a waiting room carries the proof on", () =>
    Effect.gen(function* () {
      const userId = newUser()
      assert.strictEqual(codeOf(yield* buy(CHALLENGED, { userId })), 704)
      const { ticket } = yield* solved(CHALLENGED, { userId })
      assert.strictEqual(codeOf(yield* buy(CHALLENGED, { userId, ticket })), 0)
      assert.strictEqual(codeOf(yield* send(`/products/${BOTH}/queue`, { userId, body: {} })), 704)
      // What an earlier ticket proved goes over into the new one.
      const queued = TestEdge.tickets.sign({
        user: userId,
        product: BOTH,
        proved: ["queue"],
        exp: Date.now() + 60_000,
      })
      assert.strictEqual(codeOf(yield* buy(BOTH, { userId, ticket: queued })), 704)
      const both = yield* solved(BOTH, { userId, ticket: queued })
      assert.strictEqual(codeOf(yield* buy(BOTH, { userId, ticket: both.ticket })), 0)
    }),
  )

  it.effect("a rule goes from observe to challenge to block, within a second on every edge", () =>
    Effect.gen(function* () {
      const product = 6
      const made = yield* rule({
        kind: "account-frequency",
        params: { max: 3, window_s: 60 },
        scope: { product_id: product },
      })
      const change = (body: object) => write("PUT", `/admin/risk/rules/${made.id}`, body)
      const observed = newUser()
      for (let i = 0; i < 5; i++) assert.strictEqual(codeOf(yield* buy(product, { userId: observed })), 0)
      const [seen] = yield* records(`rule_id=${made.id}`)
      assert.deepInclude(seen, { user_id: observed, decision: "observe", code: null, route: "seckill" })
      assert.deepInclude(seen.evidence, { count: 3, max: 3, window_s: 60, product_id: product })

      assert.strictEqual((yield* change({ mode: "challenge", version: made.version })).status, 200)
      const stale = yield* change({ mode: "block", version: made.version })
      assert.deepStrictEqual([stale.status, codeOf(stale), stale.json.data.version], [409, 525, 2])
      const challenged = newUser()
      for (let i = 0; i < 3; i++) assert.strictEqual(codeOf(yield* buy(product, { userId: challenged })), 0)
      assert.strictEqual(codeOf(yield* buy(product, { userId: challenged })), 704)
      const { ticket } = yield* solved(product, { userId: challenged })
      assert.strictEqual(codeOf(yield* buy(product, { userId: challenged, ticket })), 0)

      yield* change({ mode: "block" })
      const beganMs = performance.now()
      yield* soon(
        beganMs,
        Effect.map(buy(product, { userId: challenged, at: 1 }), (answer) => codeOf(answer) === 702),
      )
      const blocked = yield* buy(product, { userId: challenged, ticket })
      assert.deepStrictEqual([blocked.status, codeOf(blocked)], [429, 702])
      assert.match(blocked.headers["retry-after"]!, /^[1-9]\d*$/)
      const status = yield* send("/risk/status", { userId: challenged })
      assert.strictEqual(status.json.data.standing, "blocked")
      assert.isAbove(Date.parse(status.json.data.until), Date.now())
      // Another product isn't what the rule is about.
      assert.strictEqual(codeOf(yield* buy(product + 1, { userId: challenged })), 0)
      assert.strictEqual((yield* write("DELETE", `/admin/risk/rules/${made.id}`, {})).status, 200)
      assert.strictEqual(codeOf(yield* buy(product, { userId: challenged })), 0)
      assert.strictEqual((yield* send(`/admin/risk/rules/${made.id}`, { headers: admin })).status, 404)
    }),
  )

  it.effect("people rules: one account from many addresses, with many devices; a new account", () =>
    Effect.gen(function* () {
      const scope = { product_id: 8 }
      const block = { mode: "block", scope }
      const ids = [
        (yield* rule({ kind: "account-addresses", params: { max: 2, window_s: 60 }, ...block })).id,
        (yield* rule({ kind: "account-devices", params: { max: 2, window_s: 60 }, ...block })).id,
        (yield* rule({ kind: "new-account", params: { max_age_s: 300 }, ...block })).id,
      ]
      const traveller = newUser()
      const codes = yield* Effect.forEach([1, 2, 3], () => Effect.map(buy(8, { userId: traveller }), codeOf))
      assert.deepStrictEqual(codes, [0, 0, 702])
      const address = newAddress()
      const collector = newUser()
      const withDevices = yield* Effect.forEach([1, 2, 3], (i) =>
        Effect.map(
          buy(8, { userId: collector, address, headers: { "x-device-id": `device-${i}-${collector}` } }),
          codeOf,
        ),
      )
      assert.deepStrictEqual(withDevices, [0, 0, 702])
      const fresh = yield* send("/register", {
        body: { username: "newcomer", password: "correct horse battery" },
      })
      assert.strictEqual(codeOf(yield* buy(8, { userId: fresh.json.data.id })), 702)
      assert.strictEqual(codeOf(yield* buy(8, { userId: 50 })), 0)
      for (const id of ids) yield* write("DELETE", `/admin/risk/rules/${id}`, {})
    }),
  )

  it.effect("pay and login have rules of their own; where no challenge can be asked for, none is", () =>
    Effect.gen(function* () {
      const { id } = yield* rule({
        kind: "device-frequency",
        params: { max: 2, window_s: 60 },
        mode: "challenge",
      })
      const headers = { "x-device-id": `login-${newUser()}` }
      const login = () => send("/login", { headers, body: { username: "alice", password: "right password" } })
      for (let i = 0; i < 4; i++) assert.strictEqual((yield* login()).status, 200)
      yield* write("PUT", `/admin/risk/rules/${id}`, { mode: "block" })
      assert.deepStrictEqual([(yield* login()).status, codeOf(yield* login())], [429, 702])
      const userId = newUser()
      const pay = Effect.map(
        send(`/orders/${Messages.orderNum}/pay`, {
          userId,
          headers: { ...headers, "idempotency-key": "k" },
          body: { channel: "balance" },
        }),
        codeOf,
      )
      assert.deepStrictEqual([yield* pay, yield* pay, yield* pay], [0, 0, 702])
      yield* write("DELETE", `/admin/risk/rules/${id}`, {})
    }),
  )

  it.effect(
    "the console: what is wrong is 400, lists and records have pages and CSV, all writes their line in the trail",
    () =>
      Effect.gen(function* () {
        for (const [method, path, body] of [
          ["POST", "/admin/risk/rules", { kind: "device-accounts", params: { max: 0, window_s: 60 } }],
          ["POST", "/admin/risk/rules", { kind: "device-accounts", params: { max: 5 } }],
          ["POST", "/admin/risk/rules", { kind: "new-account", params: { max: 5, window_s: 60 } }],
          ["POST", "/admin/risk/rules", { kind: "no-such", params: {} }],
          ["PUT", "/admin/risk/ip-list", { cidr: "192.0.2.1/24", list: "black" }],
          ["PUT", "/admin/risk/ip-list", { cidr: "127.1", list: "black" }],
          ["PUT", "/admin/risk/ip-list", { cidr: "192.0.2.0/24", list: "red" }],
          [
            "PUT",
            "/admin/risk/ip-list",
            { cidr: "192.0.2.7", list: "grey", expires_at: "2020-01-01T00:00:00Z" },
          ],
          ["PUT", "/admin/risk/ip-list", { cidr: "192.0.2.7", list: "grey", reason: undefined }],
        ] as const) {
          const answer = yield* write(method, path, body)
          assert.deepStrictEqual([answer.status, codeOf(answer)], [400, 400], JSON.stringify(body))
        }
        assert.strictEqual((yield* unlist("192.0.2.99")).status, 404)
        for (let i = 1; i <= 5; i++) yield* list(`2001:db8:0:${i}::/64`, "grey")
        const first = yield* send("/admin/risk/ip-list?list=grey&limit=2", { headers: admin })
        assert.deepStrictEqual(
          first.json.data.items.map(({ cidr }: any) => cidr),
          ["2001:db8:0:5::/64", "2001:db8:0:4::/64"],
        )
        const next = yield* send(
          `/admin/risk/ip-list?list=grey&limit=2&cursor=${first.json.data.next_cursor}`,
          {
            headers: admin,
          },
        )
        assert.strictEqual(next.json.data.items[0].cidr, "2001:db8:0:3::/64")
        const covering = yield* send("/admin/risk/ip-list?ip=2001:db8:0:3::77", { headers: admin })
        assert.deepStrictEqual(
          covering.json.data.items.map(({ cidr }: any) => cidr),
          ["2001:db8:0:3::/64"],
        )
        const csv = yield* send("/admin/risk/records?format=csv&limit=5", { headers: admin })
        assert.match(csv.text, /^id,at,user_id,ip,device_id,route,rule_id,decision,code,evidence\r\n/)
        const mysql = yield* Mysql
        const lines = yield* mysql.run(
          "test",
          mysql.sql<{
            action: string
            reason: string
          }>`SELECT DISTINCT action, reason FROM audit ORDER BY action`,
        )
        assert.includeMembers(
          lines.map(({ action }) => action),
          ["ip_list.delete", "ip_list.put", "risk_rule.change", "risk_rule.create", "risk_rule.delete"],
        )
        assert.isTrue(lines.every(({ reason }) => reason !== ""))
      }),
  )
})
