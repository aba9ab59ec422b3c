/** Two edges over real HTTP on one real database: the console's routes, the page's, and what an experiment does. */
import { assert, layer } from "@effect/vitest"
import { ReserveCode } from "@floodgate/contracts/sale/ReserveCode"
import { Mysql } from "@floodgate/runtime/mysql/Mysql"
import * as TestMysql from "@floodgate/runtime/testing/TestMysql"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as RiskStore from "../risk/RiskStore.ts"
import type * as FakePeers from "../testing/FakePeers.ts"
import * as Messages from "../testing/Messages.ts"
import * as TestEdge from "../testing/TestEdge.ts"
import * as ExperimentStore from "./ExperimentStore.ts"
import * as PeopleStore from "./PeopleStore.ts"

const database = TestMysql.layer({ migrations: ["edge"], main: "edge" })

const peers: FakePeers.Peers = {
  identity: { getUser: ({ userId }) => Effect.succeed(Messages.user({ id: userId! })) },
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
}

const edge = Effect.gen(function* () {
  const mysql = yield* Mysql
  const database = Layer.succeed(Mysql, mysql)
  const experiments = Layer.merge(ExperimentStore.layer, PeopleStore.layer).pipe(Layer.provide(database))
  const risk = RiskStore.layer.pipe(Layer.provide(database))
  const built = yield* Layer.build(
    Layer.fresh(TestEdge.layer(peers, {}, undefined, { limits: TestEdge.defaultLimits, risk, experiments })),
  )
  return Context.get(built, TestEdge.TestEdge)
})

type Edge = TestEdge.TestEdge["Type"]

const bearer = (userId: number, role?: string) =>
  TestEdge.bearer({ userId, roles: role === undefined ? [] : [role] })
const officer = bearer(1, "risk")

const post = (at: Edge, path: string, body: object, headers: Record<string, string> = officer) =>
  at.ask(path, { method: "POST", headers, body })
const put = (at: Edge, key: string, body: object) =>
  at.ask(`/admin/experiments/${key}`, { method: "PUT", headers: officer, body })
const get = (at: Edge, path: string, headers: Record<string, string> = officer) => at.ask(path, { headers })
const mine = (at: Edge, userId: number) =>
  Effect.map(get(at, "/experiments", bearer(userId)), ({ json }) => json.data as ReadonlyArray<any>)

/** Asks until it holds, for a second at most: that is how long a change may take. */
const soon = <A>(what: string, ask: Effect.Effect<A>, holds: (answer: A) => boolean, withinMs = 1_000) =>
  Effect.gen(function* () {
    const beganMs = performance.now()
    let answer = yield* ask
    while (!holds(answer)) {
      assert.isBelow(performance.now() - beganMs, withinMs, what)
      yield* Effect.sleep(20)
      answer = yield* ask
    }
    return answer
  })

const buttons = (key: string) => ({
  key,
  kind: "storefront",
  status: "running",
  percentage: 50,
  variants: [
    { key: "control", weight: 1, config: {} },
    { key: "blue", weight: 1, config: { button: { colour: "blue" } } },
  ],
  reason: "which button",
})

layer(database, { excludeTestServices: true })("experiments over HTTP", (it) => {
  it.scoped("two edges give a user the same variant, and the end is in force on both within a second", () =>
    Effect.gen(function* () {
      const [a, b] = yield* Effect.all([edge, edge])
      const created = yield* post(a, "/admin/experiments", buttons("buttons"))
      assert.deepStrictEqual([created.status, created.json.code], [201, 0], created.text)
      assert.deepInclude(created.json.data, { key: "buttons", status: "running", version: 1, percentage: 50 })
      assert.match(created.json.data.salt, /^[0-9a-f]{16}$/)

      const users = Array.from({ length: 24 }, (_, i) => i + 100)
      const here = yield* Effect.forEach(users, (userId) => mine(a, userId), { concurrency: 8 })
      const inside = users.filter((_, i) => here[i]!.length > 0)
      assert.isTrue(inside.length > 2 && inside.length < 22, String(inside.length))
      yield* soon("the start", mine(b, inside[0]!), (found) => found.length === 1)
      const there = yield* Effect.forEach(users, (userId) => mine(b, userId), { concurrency: 8 })
      assert.deepStrictEqual(there, here)
      const blue = here.flat().find(({ variant }) => variant === "blue")
      assert.deepStrictEqual(blue, {
        key: "buttons",
        variant: "blue",
        config: { button: { colour: "blue" } },
      })

      yield* put(a, "buttons", { percentage: 100, version: 1, reason: "more of them" })
      const outside = users.find((userId) => !inside.includes(userId))!
      yield* soon("growth", mine(b, outside), (found) => found.length === 1)
      const grown = yield* Effect.forEach(inside, (userId) => mine(b, userId), { concurrency: 8 })
      assert.deepStrictEqual(
        grown,
        here.filter((found) => found.length > 0),
      )

      const stopped = yield* post(b, "/admin/experiments/buttons/stop", { reason: "it is ugly" })
      assert.deepInclude(stopped.json.data, { status: "stopped", version: 3 })
      assert.deepStrictEqual(yield* mine(b, inside[0]!), [])
      yield* soon("the end", mine(a, inside[0]!), (found) => found.length === 0)
    }),
  )

  it.scoped("a gray limit holds for its users and for nobody else, and is taken back within a second", () =>
    Effect.gen(function* () {
      const [a, b] = yield* Effect.all([edge, edge])
      const started = yield* post(a, "/admin/experiments", {
        key: "tighter",
        kind: "limit",
        status: "running",
        percentage: 0,
        allow_users: [501],
        variants: [{ key: "three", weight: 1, config: { name: "seckill-user", rate: 1, burst: 3 } }],
        reason: "a new limit, first for one",
      })
      assert.strictEqual(started.status, 201, started.text)
      const flood = (at: Edge, userId: number, times: number) =>
        Effect.map(
          Effect.forEach(
            Array.from({ length: times }),
            () => post(at, "/seckill", { product_id: 5 }, bearer(userId)),
            { concurrency: times },
          ),
          (answers) => answers.filter(({ status }) => status === 202).length,
        )
      const through = yield* flood(a, 501, 12)
      assert.isTrue(through >= 3 && through <= 5, `${through} got through`)
      assert.strictEqual(yield* flood(a, 502, 12), 12, "not in it")

      yield* post(b, "/admin/experiments/tighter/stop", { reason: "back out" })
      yield* soon("the back-out", flood(a, 501, 6), (passed) => passed === 6)
      // What the other edge saw is written within a second, and this machine may be slow.
      const results = get(b, "/admin/experiments/tighter/results")
      const { variants } = (yield* soon(
        "counts",
        results,
        ({ json }) => json.data.variants[0].limited === 1,
        10_000,
      )).json.data
      assert.deepInclude(variants[0], { key: "three", exposed: 1, accepted: 1, paid: 0, limited: 1 })
    }),
  )

  it.scoped("what the page shows, and who bought, is in the results, with intervals", () =>
    Effect.gen(function* () {
      const at = yield* edge
      const users = Array.from({ length: 16 }, (_, i) => 700 + i)
      // A salt of its own would now and then give one variant to buyers only, and a rate of 1 has nothing above it.
      const salt = "counted"
      yield* post(at, "/admin/experiments", {
        ...buttons("counted"),
        salt,
        percentage: 0,
        allow_users: users,
      })
      const variants = new Map<number, string>()
      const visit = (userId: number) =>
        Effect.gen(function* () {
          variants.set(userId, (yield* mine(at, userId))[0].variant)
          for (let twice = 0; twice < 2; twice++) {
            const seen = yield* post(at, "/experiments/counted/exposure", {}, bearer(userId))
            assert.deepStrictEqual([seen.status, seen.json.data], [200, null])
          }
          if (userId % 2 === 0) {
            assert.strictEqual((yield* post(at, "/seckill", { product_id: 6 }, bearer(userId))).status, 202)
          }
        })
      yield* Effect.forEach(users, visit, { concurrency: 8 })
      const stranger = yield* post(at, "/experiments/counted/exposure", {}, bearer(5))
      const nothing = yield* post(at, "/experiments/nothing/exposure", {}, bearer(700))
      assert.deepStrictEqual([stranger.status, nothing.status], [404, 404])
      const { json } = yield* get(at, "/admin/experiments/counted/results")
      for (const [i, key] of ["control", "blue"].entries()) {
        const people = users.filter((userId) => variants.get(userId) === key)
        const accepted = people.filter((userId) => userId % 2 === 0).length
        assert.isTrue(accepted > 0 && accepted < people.length)
        const found = json.data.variants[i]
        assert.deepInclude(found, { key, exposed: people.length, accepted, paid: 0, limited: 0 })
        assert.strictEqual(found.accept_rate.rate, accepted / people.length)
        assert.isTrue(found.accept_rate.low < found.accept_rate.rate)
        assert.isTrue(found.accept_rate.high > found.accept_rate.rate)
        assert.deepInclude(found.paid_rate, { rate: 0, low: 0 })
      }
    }),
  )

  it.scoped(
    "the console reads and writes as everywhere: pages, CSV, versions, states, and what is wrong by its path",
    () =>
      Effect.gen(function* () {
        const at = yield* edge
        const draft = { ...buttons("console"), status: "draft" }
        assert.strictEqual((yield* post(at, "/admin/experiments", draft)).status, 201)
        const taken = yield* post(at, "/admin/experiments", draft)
        assert.deepStrictEqual([taken.status, taken.json.code, taken.json.data], [409, 525, { version: 1 }])
        const one = yield* get(at, "/admin/experiments/console")
        assert.deepInclude(one.json.data, { key: "console", status: "draft", stopped_at: null })
        assert.strictEqual((yield* get(at, "/admin/experiments/nobody")).status, 404)
        assert.deepStrictEqual(
          (yield* mine(at, 1)).filter(({ key }) => key === "console"),
          [],
        )

        const stale = yield* put(at, "console", { percentage: 1, version: 7, reason: "late" })
        assert.deepStrictEqual([stale.status, stale.json.code, stale.json.data.version], [409, 525, 1])
        const running = yield* put(at, "console", { status: "running", version: 1, reason: "go" })
        assert.deepInclude(running.json.data, { status: "running", version: 2 })
        const salted = yield* put(at, "console", { salt: "other", reason: "no" })
        assert.deepStrictEqual([salted.json.code, salted.json.data.state], [520, "running"])

        const list = yield* get(at, "/admin/experiments?status=running&limit=1")
        assert.lengthOf(list.json.data.items, 1)
        const csv = yield* get(at, "/admin/experiments?format=csv")
        assert.match(csv.text, /^key,kind,status,percentage,/)
        assert.include(csv.text, "console,storefront,running,50,")
        assert.strictEqual((yield* get(at, "/admin/experiments?cursor=nonsense")).status, 400)
        yield* post(at, "/admin/experiments/console/stop", { reason: "done" })
        assert.strictEqual(
          (yield* post(at, "/admin/experiments/console/stop", { reason: "again" })).status,
          200,
        )

        const variant = (config: object) => [{ key: "a", weight: 1, config }]
        const wrong: ReadonlyArray<readonly [object, string]> = [
          [
            { kind: "limit", variants: variant({ name: "callback", rate: 1, burst: 1 }) },
            "variants.0.config",
          ],
          [{ kind: "limit", variants: variant({ name: "pay", rate: 0, burst: 1 }) }, "variants.0.config"],
          [
            { kind: "risk", variants: variant({ rules: [{ rule_id: 1, mode: "off" }] }) },
            "variants.0.config",
          ],
          [{ kind: "risk", variants: variant({ rule: 1 }) }, "variants.0.config"],
          [{ variants: [...variant({}), ...variant({})] }, "variants.1.key"],
          [{ variants: [{ key: "a", weight: 0, config: {} }] }, "variants"],
          [{ variants: variant({ text: "x".repeat(7_000) }) }, "variants"],
          [{ variants: [] }, "variants"],
          [{ percentage: 100.5 }, "percentage"],
          [{ percentage: 1.234 }, "percentage"],
          [{ key: "a key" }, "key"],
          [{ reason: undefined }, "reason"],
          [{ surprise: 1 }, "surprise"],
        ]
        for (const [change, path] of wrong) {
          const { json, status, text } = yield* post(at, "/admin/experiments", {
            ...buttons("wrong"),
            ...change,
          })
          assert.deepStrictEqual([status, json.code], [400, 400], JSON.stringify(change))
          assert.isTrue(
            json.data.issues.some((issue: any) => issue.path.startsWith(path)),
            text,
          )
        }
      }),
  )

  it.scoped("a rule has another mode for an experiment's users, who don't learn of it", () =>
    Effect.gen(function* () {
      const at = yield* edge
      const rule = yield* post(at, "/admin/risk/rules", {
        kind: "account-frequency",
        params: { max: 2, window_s: 600 },
        reason: "watch who hurries",
      })
      assert.strictEqual(rule.status, 201, rule.text)
      const started = yield* post(at, "/admin/experiments", {
        key: "rules",
        kind: "risk",
        status: "running",
        allow_users: [901],
        variants: [
          { key: "strict", weight: 1, config: { rules: [{ rule_id: rule.json.data.id, mode: "block" }] } },
        ],
        reason: "refuse who hurries, first for one",
      })
      assert.strictEqual(started.status, 201, started.text)
      const hurry = (userId: number) =>
        Effect.map(
          Effect.replicateEffect(post(at, "/seckill", { product_id: 7 }, bearer(userId)), 4),
          (answers) => answers.map(({ json }) => json.code),
        )
      assert.deepStrictEqual(yield* hurry(901), [0, 0, 702, 702])
      assert.deepStrictEqual(yield* hurry(902), [0, 0, 0, 0])
      assert.deepStrictEqual(yield* mine(at, 901), [])
      const { json } = yield* get(at, "/admin/experiments/rules/results")
      assert.deepInclude(json.data.variants[0], { key: "strict", exposed: 1, accepted: 1 })
      yield* post(at, "/admin/experiments/rules/stop", { reason: "back out" })
      assert.deepStrictEqual(yield* hurry(901), [0, 0, 0, 0])
    }),
  )
})
