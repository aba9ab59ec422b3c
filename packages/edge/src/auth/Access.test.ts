/** Who gets in while accounts, keys and identity itself change: the running edge, over real HTTP and real time. */
import { create, type MessageInitShape } from "@bufbuild/protobuf"
import { assert, describe, it } from "@effect/vitest"
import { Busy, Unauthenticated, WrongCredentials } from "@floodgate/contracts/errors/Errors"
import {
  GetJwksResponseSchema,
  ListRevocationsResponseSchema,
  type RevocationSchema,
} from "@floodgate/contracts/gen/floodgate/identity/v1/identity_pb"
import { ReserveCode } from "@floodgate/contracts/sale/ReserveCode"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import type * as FakePeers from "../testing/FakePeers.ts"
import * as Messages from "../testing/Messages.ts"
import * as TestEdge from "../testing/TestEdge.ts"
import * as Tokens from "../testing/Tokens.ts"

/** A ban must hold within this time (ms). */
const IN_FORCE_MS = 1_000

const makeWorld = () => {
  const state = {
    history: [] as Array<MessageInitShape<typeof RevocationSchema>>,
    keys: [TestEdge.signingKey] as Array<Tokens.SigningKey>,
    away: false,
  }
  const orAway = <A, E>(answer: () => Effect.Effect<A, E>): Effect.Effect<A, E | Busy> =>
    Effect.suspend((): Effect.Effect<A, E | Busy> => (state.away ? Effect.fail(new Busy({})) : answer()))
  const revoke = (userId: number, more: MessageInitShape<typeof RevocationSchema> = {}) =>
    Effect.sync(() => {
      state.history.push({
        userId: BigInt(userId),
        notBeforeMs: BigInt(Date.now()),
        ...(more as object),
        revision: BigInt(state.history.length + 1),
      })
    })
  const peers: FakePeers.Peers = {
    identity: {
      getJwks: () =>
        orAway(() => Effect.succeed(create(GetJwksResponseSchema, { jwksJson: Tokens.jwks(...state.keys) }))),
      listRevocations: ({ sinceRevision }) =>
        orAway(() =>
          Effect.sync(() =>
            create(ListRevocationsResponseSchema, {
              revision: BigInt(state.history.length),
              entries: state.history.slice(Number(sinceRevision)),
            }),
          ),
        ),
      login: ({ password }) =>
        orAway(() =>
          password === "right" ? Effect.succeed(Messages.session()) : Effect.fail(new WrongCredentials({})),
        ),
      refresh: ({ refreshToken }) =>
        orAway(() =>
          refreshToken === "good" ? Effect.succeed(Messages.session()) : Effect.fail(new Unauthenticated({})),
        ),
      getWallet: () => orAway(() => Effect.succeed(Messages.wallet())),
    },
    inventory: {
      reserveBatch: ({ userId }) =>
        Effect.succeed(
          Messages.reserved(userId!.map(() => [ReserveCode.RESERVED, Messages.orderNum] as const)),
        ),
    },
    ordering: { listOrders: () => Effect.succeed(Messages.orders([])) },
  }
  return { state, revoke, peers }
}

type Ask = TestEdge.TestEdge["Type"]["ask"]

/** By the hot path and by the other: both must say the same. */
const enter = (ask: Ask, authorization: string) =>
  Effect.map(
    Effect.all([
      ask("/seckill", { body: { product_id: 42 }, headers: { authorization } }),
      ask("/orders", { headers: { authorization } }),
    ]),
    (answers) => answers.map(({ json, status }) => `${status}/${json.code}`),
  )

const IN = ["202/0", "200/0"]
const BANNED = ["403/701", "403/701"]
const OUT = ["401/401", "401/401"]

const until = (ask: Ask, authorization: string, expected: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const began = Date.now()
    for (;;) {
      const got = yield* enter(ask, authorization)
      if (got.join() === expected.join()) return Date.now() - began
      if (Date.now() - began > 10_000) assert.deepStrictEqual(got, expected)
      yield* Effect.sleep(20)
    }
  })

const ready = (ask: Ask) =>
  Effect.repeat(ask("/readyz"), { until: ({ status }) => status === 200, times: 500 })

const withEdge = <A, E>(
  world: ReturnType<typeof makeWorld>,
  use: (ask: Ask) => Effect.Effect<A, E>,
  overrides: Parameters<typeof TestEdge.layer>[1] = {},
) =>
  Effect.flatMap(TestEdge.TestEdge, ({ ask }) => Effect.zipRight(ready(ask), use(ask))).pipe(
    Effect.provide(TestEdge.layer(world.peers, overrides)),
  )

const tokenOf = (userId: number, key = TestEdge.signingKey) => `Bearer ${Tokens.token(key, { userId })}`

describe("live tokens", () => {
  it.live("a banned account's is refused with 403/701 within a second, until the ban is lifted", () => {
    const world = makeWorld()
    return withEdge(world, (ask) =>
      Effect.gen(function* () {
        const token = tokenOf(7)
        assert.deepStrictEqual(yield* enter(ask, token), IN)
        yield* world.revoke(7, { banned: true, reason: "ban" })
        assert.isBelow(yield* until(ask, token, BANNED), IN_FORCE_MS)
        assert.deepStrictEqual(yield* enter(ask, tokenOf(7)), BANNED)
        assert.deepStrictEqual(yield* enter(ask, tokenOf(8)), IN)
        yield* world.revoke(7, { banned: false, reason: "unban" })
        assert.isBelow(yield* until(ask, token, OUT), IN_FORCE_MS)
        assert.deepStrictEqual(yield* enter(ask, tokenOf(7)), IN)
      }),
    )
  })

  it.live("a ban with an end ends by itself", () => {
    const world = makeWorld()
    return withEdge(world, (ask) =>
      Effect.gen(function* () {
        const untilMs = Date.now() + 1_500
        yield* world.revoke(7, { banned: true, banUntilMs: BigInt(untilMs) })
        yield* until(ask, tokenOf(7), BANNED)
        const token = tokenOf(7)
        yield* until(ask, token, IN)
        assert.isAtLeast(Date.now(), untilMs)
      }),
    )
  })

  for (const reason of ["password", "roles", "logout_all", "erase"]) {
    it.live(
      `those from before a change (${reason}) are 401/401 within a second, those after it are good`,
      () => {
        const world = makeWorld()
        return withEdge(world, (ask) =>
          Effect.gen(function* () {
            const token = tokenOf(7)
            assert.deepStrictEqual(yield* enter(ask, token), IN)
            yield* Effect.sleep(2)
            yield* world.revoke(7, { reason })
            const successor = tokenOf(7)
            assert.isBelow(yield* until(ask, token, OUT), IN_FORCE_MS)
            assert.deepStrictEqual(yield* enter(ask, successor), IN)
          }),
        )
      },
    )
  }

  it.live("two edges agree within a second", () => {
    const world = makeWorld()
    const build = Effect.map(Layer.build(Layer.fresh(TestEdge.layer(world.peers))), (context) =>
      Context.get(context, TestEdge.TestEdge),
    )
    return Effect.scoped(
      Effect.gen(function* () {
        const edges = yield* Effect.all([build, build])
        for (const { ask } of edges) yield* ready(ask)
        assert.notStrictEqual(edges[0].port, edges[1].port)
        const token = tokenOf(7)
        for (const { ask } of edges) assert.deepStrictEqual(yield* enter(ask, token), IN)
        yield* world.revoke(7, { banned: true })
        const took = yield* Effect.forEach(edges, ({ ask }) => until(ask, token, BANNED), { concurrency: 2 })
        for (const ms of took) assert.isBelow(ms, IN_FORCE_MS)
      }),
    )
  })

  it.live("an edge that starts knows who was revoked before it serves anybody", () => {
    const world = makeWorld()
    world.state.away = true
    return Effect.gen(function* () {
      yield* world.revoke(7, { banned: true })
      const { ask } = yield* TestEdge.TestEdge
      const token = tokenOf(7)
      assert.strictEqual((yield* ask("/readyz")).status, 503)
      assert.deepStrictEqual(yield* enter(ask, token), ["503/530", "503/530"])
      world.state.away = false
      yield* ready(ask)
      assert.deepStrictEqual(yield* enter(ask, token), BANNED)
    }).pipe(Effect.provide(TestEdge.layer(world.peers)))
  })
})

describe("identity unreachable", () => {
  it.live("those who are signed in go on buying, the banned stay out, login and refresh say 530", () => {
    const world = makeWorld()
    return withEdge(world, (ask) =>
      Effect.gen(function* () {
        yield* world.revoke(66, { banned: true })
        yield* until(ask, tokenOf(66), BANNED)
        world.state.away = true
        yield* Effect.sleep(700)
        assert.deepStrictEqual(yield* enter(ask, tokenOf(7)), IN)
        assert.deepStrictEqual(yield* enter(ask, tokenOf(66)), BANNED)
        assert.strictEqual((yield* ask("/readyz")).status, 200)
        for (const [path, body] of [
          ["/login", { username: "alice", password: "right" }],
          ["/token/refresh", { refresh_token: "good" }],
        ] as const) {
          const answer = yield* ask(path, { body })
          assert.deepStrictEqual([answer.status, answer.json.code], [503, 530])
          assert.match(String(answer.headers["retry-after"]), /^[1-9]\d*$/)
        }
        // By a key that nobody could be asked about: perhaps good, so not a 401 that throws it away.
        const unknown = tokenOf(7, Tokens.signingKey("new"))
        yield* Effect.sleep(1_100)
        assert.deepStrictEqual(yield* enter(ask, unknown), ["503/530", "503/530"])
        world.state.away = false
        yield* until(ask, unknown, OUT)
      }),
    )
  })
})

describe("signing keys", () => {
  it.live("a rotation during traffic refuses no good token", () => {
    const world = makeWorld()
    return withEdge(world, (ask) =>
      Effect.gen(function* () {
        const answers = new Map<string, number>()
        let signing = TestEdge.signingKey
        let over = false
        const traffic = yield* Effect.fork(
          Effect.forEach(
            Array.from({ length: 8 }, (_, i) => i + 1),
            (userId) =>
              Effect.gen(function* () {
                while (!over) {
                  for (const answer of yield* enter(ask, tokenOf(userId, signing))) {
                    answers.set(answer, (answers.get(answer) ?? 0) + 1)
                  }
                }
              }),
            { concurrency: "unbounded" },
          ),
        )
        for (let i = 0; i < 3; i++) {
          const next = Tokens.signingKey(`rotated-${i}`)
          world.state.keys = [next, ...world.state.keys]
          // Published before it signs: by a minute in production, by what a test has here.
          yield* Effect.sleep(1_200)
          signing = next
          yield* Effect.sleep(300)
        }
        over = true
        yield* Fiber.join(traffic)
        assert.sameMembers([...answers.keys()], IN)
        assert.isAbove(answers.get("200/0")!, 50)
      }),
    )
  })
})

describe("what browsers are told", () => {
  const expected = {
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
  }

  const everyAnswer = (ask: Ask) =>
    Effect.all([
      ask("/livez"),
      ask("/nope"),
      ask("/login", { body: "{" }),
      ask("/login", { body: { username: "alice", password: "right" } }),
      ask("/seckill", { body: {} }),
      ask("/seckill", { body: { product_id: 42 }, headers: { authorization: tokenOf(7) } }),
      ask("/products", { method: "DELETE" }),
      ask("/products", { method: "OPTIONS" }),
      ask("/.well-known/jwks.json"),
      ask("/openapi.json"),
      ask("/docs/errors/401"),
    ])

  it.live("every answer says what it is not; only outside dev also to come by TLS", () => {
    const world = makeWorld()
    return Effect.gen(function* () {
      for (const hsts of [false, true]) {
        yield* withEdge(
          world,
          (ask) =>
            Effect.map(everyAnswer(ask), (answers) => {
              for (const { headers } of answers) {
                assert.deepInclude(headers, expected)
                const sts = headers["strict-transport-security"]
                assert.strictEqual(sts, hsts ? "max-age=31536000; includeSubDomains" : undefined)
              }
            }),
          { hsts },
        )
      }
    })
  })

  it.live("also what the parser refuses, before there is a request", () => {
    const world = makeWorld()
    return Effect.gen(function* () {
      const { raw } = yield* TestEdge.TestEdge
      const large = `GET / HTTP/1.1\r\nHost: x\r\nA: ${"a".repeat(17_000)}\r\n\r\n`
      for (const text of ["hello\r\n\r\n", large, "CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n"]) {
        const answer = yield* raw(text)
        for (const [name, value] of Object.entries(expected)) assert.include(answer, `${name}: ${value}\r\n`)
        assert.include(answer, "strict-transport-security: max-age=31536000")
      }
    }).pipe(Effect.provide(TestEdge.layer(world.peers, { hsts: true })))
  })
})
