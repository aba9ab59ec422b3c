import * as OpenApi from "@effect/platform/OpenApi"
import { assert, describe, layer, it as test } from "@effect/vitest"
import { Busy, StaleVersion } from "@floodgate/contracts/errors/Errors"
import { OrderState } from "@floodgate/contracts/gen/floodgate/ordering/v1/ordering_pb"
import { Api } from "@floodgate/contracts/http/Api"
import { HEADER } from "@floodgate/contracts/http/IdempotencyKey"
import * as Mysql from "@floodgate/runtime/mysql/Mysql"
import * as TestMysql from "@floodgate/runtime/testing/TestMysql"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Messages from "../testing/Messages.ts"
import * as TestEdge from "../testing/TestEdge.ts"
import * as KeyPolicy from "./KeyPolicy.ts"
import * as KeyStore from "./KeyStore.ts"

const live = { excludeTestServices: true } as const
const { bearer } = TestEdge

describe("KeyPolicy", () => {
  const paths = OpenApi.fromApi(Api).paths as Record<string, Record<string, any>>
  const posts = Object.entries(paths)
    .filter(([, methods]) => methods["post"] !== undefined)
    .map(([path, methods]) => ({
      route: `POST ${path.replace(/\{([a-z_]+)\}/g, ":$1")}`,
      takesKey: methods["post"].parameters.some((parameter: any) => parameter.name === HEADER),
      told: Object.keys(methods["post"].responses),
    }))

  test("every POST of the contract has a row, and nothing else has", () => {
    assert.sameMembers(
      Object.keys(KeyPolicy.policies),
      posts.map(({ route }) => route),
    )
  })

  test("every POST takes the key, but those that providers send", () => {
    const without = posts.filter(({ takesKey }) => !takesKey).map(({ route }) => route)
    assert.sameMembers(without, ["POST /payment/callback", "POST /payment/callback/:channel"])
  })

  test("where the key is kept, the document tells of 521", () => {
    for (const { route, told } of posts) {
      const kept = KeyPolicy.policies[route] !== "none"
      assert.strictEqual(told.includes("422") && !route.includes("callback"), kept, route)
    }
  })
})

/** Ordering and identity that count, and that can be held up or broken. */
const effects = { cancels: 0, bans: [] as Array<string> }
let held: { readonly arrived: Deferred.Deferred<void>; readonly release: Deferred.Deferred<void> } | undefined
let failing: Busy | StaleVersion | undefined

const peers = {
  ordering: {
    cancelOrder: ({ userId }: { userId?: bigint }) =>
      Effect.gen(function* () {
        effects.cancels++
        if (held !== undefined) {
          yield* Deferred.succeed(held.arrived, undefined)
          yield* Deferred.await(held.release)
        }
        if (failing instanceof Busy) return yield* failing
        return Messages.order({ userId: userId!, state: OrderState.CANCELLED })
      }),
  },
  identity: {
    banUser: ({ requestId, userId }: { requestId?: string; userId?: bigint }) =>
      Effect.suspend(() => {
        effects.bans.push(requestId!)
        return failing === undefined
          ? Effect.succeed(Messages.user({ id: userId!, version: 2n }))
          : Effect.fail(failing)
      }),
  },
}

const database = TestMysql.layer({ migrations: ["edge"], main: "edge" })
const keys = Layer.provideMerge(KeyStore.layer, database)
const shared = Layer.effect(KeyStore.KeyStore, KeyStore.KeyStore)
// Two edges over one database, as behind a balancer.
class Other extends Context.Tag("Other")<Other, TestEdge.TestEdge["Type"]>() {}
const one = TestEdge.layer(peers, {}, shared)
const other = Layer.effect(Other, TestEdge.TestEdge).pipe(Layer.provide(Layer.fresh(one)))

layer(Layer.provideMerge(Layer.mergeAll(one, other), keys), { ...live, timeout: 120_000 })(
  "the keys that the edge keeps",
  (it) => {
    const path = `/orders/${Messages.orderNum}/cancel`
    let n = 0
    const newKey = () => `key ${++n}`
    const admin = bearer({ userId: 1, roles: ["admin"] })
    const reset = Effect.sync(() => {
      effects.cancels = 0
      effects.bans = []
      held = undefined
      failing = undefined
    })
    const cancel = (key: string, userId = 7, body: unknown = {}) =>
      Effect.flatMap(TestEdge.TestEdge, ({ ask }) =>
        ask(path, { body, headers: { ...bearer({ userId }), [HEADER]: key } }),
      )
    const ban = (key: string, reason = "fraud", id = 9) =>
      Effect.flatMap(TestEdge.TestEdge, ({ ask }) =>
        ask(`/admin/users/${id}/ban`, { body: { reason }, headers: { ...admin, [HEADER]: key } }),
      )

    it.effect("the first answer comes again, from either edge, and the effect doesn't", () =>
      Effect.gen(function* () {
        yield* reset
        const key = newKey()
        const first = yield* cancel(key)
        assert.deepStrictEqual([first.status, first.json.data.state], [200, "cancelled"])
        assert.isUndefined(first.headers["idempotent-replayed"])
        const second = yield* cancel(key)
        const { ask } = yield* Other
        const third = yield* ask(path, { body: {}, headers: { ...bearer({ userId: 7 }), [HEADER]: key } })
        for (const again of [second, third]) {
          assert.strictEqual(again.status, 200)
          assert.strictEqual(again.text, first.text)
          assert.strictEqual(again.headers["idempotent-replayed"], "true")
          assert.strictEqual(again.headers["content-type"], first.headers["content-type"])
        }
        assert.strictEqual(effects.cancels, 1)
      }),
    )

    it.effect("a key is its user's, its path's: elsewhere it is another one", () =>
      Effect.gen(function* () {
        yield* reset
        const key = newKey()
        yield* cancel(key, 7)
        const stranger = yield* cancel(key, 8)
        assert.isUndefined(stranger.headers["idempotent-replayed"])
        assert.strictEqual(stranger.json.data.user_id, 8)
        yield* ban(key, "fraud", 9)
        yield* ban(key, "fraud", 10)
        assert.strictEqual(effects.bans.length, 2)
        assert.strictEqual(new Set(effects.bans).size, 2)
      }),
    )

    it.effect("another body is 422/521; the same one written differently isn't another", () =>
      Effect.gen(function* () {
        yield* reset
        const key = newKey()
        const { ask } = yield* TestEdge.TestEdge
        const send = (body: string) =>
          ask("/admin/users/9/ban", { body, headers: { ...admin, [HEADER]: key } })
        assert.strictEqual((yield* send('{"reason":"a","version":1}')).status, 200)
        const same = yield* send('{ "version": 1, "reason": "a" }')
        assert.strictEqual(same.headers["idempotent-replayed"], "true")
        const different = yield* send('{"reason":"b","version":1}')
        assert.deepStrictEqual([different.status, different.json.code], [422, 521])
        assert.strictEqual(effects.bans.length, 1)
      }),
    )

    it.effect("while the first is at work, the second is 409/522; a hundred at once have one effect", () =>
      Effect.gen(function* () {
        yield* reset
        const key = newKey()
        held = { arrived: yield* Deferred.make<void>(), release: yield* Deferred.make<void>() }
        const crowd = yield* Effect.fork(
          Effect.all(
            Array.from({ length: 100 }, () => cancel(key)),
            { concurrency: 100 },
          ),
        )
        yield* Deferred.await(held.arrived)
        const second = yield* cancel(key)
        assert.deepStrictEqual([second.status, second.json.code], [409, 522])
        yield* Deferred.succeed(held.release, undefined)
        const answers = yield* Fiber.join(crowd)
        for (const { headers, json, status } of answers) {
          const fine = status === 200 || (status === 409 && json.code === 522) || status === 503
          assert.isTrue(fine, `${status} ${headers["idempotent-replayed"]}`)
        }
        assert.strictEqual(effects.cancels, 1)
        assert.strictEqual((yield* cancel(key)).headers["idempotent-replayed"], "true")
      }),
    )

    it.effect("a client that leaves finds the answer when it comes back with its key", () =>
      Effect.gen(function* () {
        yield* reset
        const key = newKey()
        held = { arrived: yield* Deferred.make<void>(), release: yield* Deferred.make<void>() }
        const leaving = yield* Effect.fork(cancel(key))
        yield* Deferred.await(held.arrived)
        yield* Fiber.interrupt(leaving)
        yield* Deferred.succeed(held.release, undefined)
        const again = yield* Effect.repeat(cancel(key), {
          until: ({ status }) => status === 200,
          times: 100,
        })
        assert.strictEqual(again.headers["idempotent-replayed"], "true")
        assert.strictEqual(effects.cancels, 1)
      }),
    )

    it.effect("400, 401, 403 and 503 aren't kept, 404 and 409 are", () =>
      Effect.gen(function* () {
        yield* reset
        const { ask } = yield* TestEdge.TestEdge
        const key = newKey()
        failing = new Busy({})
        assert.strictEqual((yield* cancel(key)).status, 503)
        failing = undefined
        assert.strictEqual((yield* cancel(key)).status, 200)
        const bad = yield* ban(newKey(), "")
        assert.strictEqual(bad.status, 400)
        const customer = { ...bearer({ userId: 7 }), [HEADER]: key }
        const forbidden = yield* ask("/admin/users/9/ban", { body: { reason: "x" }, headers: customer })
        assert.strictEqual(forbidden.status, 403)
        const none = yield* ask(path, { body: {}, headers: { [HEADER]: key } })
        assert.strictEqual(none.status, 401)
        const stale = newKey()
        failing = new StaleVersion({ version: 5 })
        const first = yield* ban(stale)
        assert.deepStrictEqual([first.status, first.json.code], [409, 525])
        failing = undefined
        const second = yield* ban(stale)
        assert.strictEqual(second.text, first.text)
        assert.strictEqual(second.headers["idempotent-replayed"], "true")
        assert.strictEqual(second.headers["x-error-doc"], "/docs/errors/525")
      }),
    )

    it.effect("a key that isn't one is 400, on every POST", () =>
      Effect.gen(function* () {
        const { ask } = yield* TestEdge.TestEdge
        for (const route of Object.keys(KeyPolicy.policies)) {
          if (route.startsWith("POST /payment/callback")) continue
          const url = route.slice(5).replace(/:[a-z_]+/g, "1")
          for (const key of ["", "k".repeat(256), "schlüssel"]) {
            const answer = yield* ask(url, { body: {}, headers: { ...admin, [HEADER]: key } })
            assert.deepStrictEqual([answer.status, answer.json.code], [400, 400], `${route} ${key}`)
          }
        }
      }),
    )

    it.effect(
      "an edge that died in between: after its lease the service is asked again, by the same id",
      () =>
        Effect.gen(function* () {
          yield* reset
          const mysql = yield* Mysql.Mysql
          const key = newKey()
          yield* ban(key)
          const [requestId] = effects.bans
          yield* mysql.run(
            "test",
            mysql.sql`UPDATE idempotency SET status = NULL, lease_until = UTC_TIMESTAMP(3) + INTERVAL 1 MINUTE
            WHERE id = ${requestId}`,
          )
          assert.strictEqual((yield* ban(key)).json.code, 522)
          yield* mysql.run(
            "test",
            mysql.sql`UPDATE idempotency SET lease_until = UTC_TIMESTAMP(3) - INTERVAL 1 SECOND WHERE id = ${requestId}`,
          )
          assert.strictEqual((yield* ban(key, "another reason")).json.code, 521)
          assert.strictEqual((yield* ban(key)).status, 200)
          assert.deepStrictEqual(effects.bans, [requestId, requestId])
        }),
    )

    it.effect("after a day a key is new", () =>
      Effect.gen(function* () {
        yield* reset
        const mysql = yield* Mysql.Mysql
        const key = newKey()
        yield* cancel(key)
        yield* mysql.run(
          "test",
          mysql.sql`UPDATE idempotency SET created_at = UTC_TIMESTAMP(3) - INTERVAL 25 HOUR`,
        )
        assert.isUndefined((yield* cancel(key)).headers["idempotent-replayed"])
        assert.strictEqual(effects.cancels, 2)
      }),
    )
  },
)

describe("without the database", () => {
  const dead = Layer.succeed(KeyStore.KeyStore, {
    claim: () => Effect.fail(new Busy({})),
    store: () => Effect.fail(new Busy({})),
    release: () => Effect.fail(new Busy({})),
  })
  layer(
    TestEdge.layer(peers, {}, dead),
    live,
  )((it) => {
    it.effect("what has a key is 503/530, what has none goes on, and the edge is ready", () =>
      Effect.gen(function* () {
        const { ask } = yield* TestEdge.TestEdge
        const path = `/orders/${Messages.orderNum}/cancel`
        const before = effects.cancels
        failing = undefined
        held = undefined
        const keyed = yield* ask(path, { body: {}, headers: { ...bearer({ userId: 7 }), [HEADER]: "k" } })
        assert.deepStrictEqual([keyed.status, keyed.json.code], [503, 530])
        assert.strictEqual(effects.cancels, before)
        assert.strictEqual((yield* ask(path, { body: {}, headers: bearer({ userId: 7 }) })).status, 200)
        assert.strictEqual((yield* ask("/readyz")).status, 200)
      }),
    )
  })
})
