import { brotliDecompressSync, gunzipSync } from "node:zlib"
import { assert, describe, it, layer } from "@effect/vitest"
import { catalogue } from "@floodgate/contracts/errors/Catalogue"
import { Busy, RateLimited } from "@floodgate/contracts/errors/Errors"
import { Readiness } from "@floodgate/runtime/lifecycle/Readiness"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as Messages from "./testing/Messages.ts"
import * as TestEdge from "./testing/TestEdge.ts"

const live = { excludeTestServices: true } as const
const { bearer } = TestEdge

const assertEnvelope = (answer: TestEdge.Answer, status: number, code: number) => {
  assert.strictEqual(answer.status, status, answer.text)
  assert.deepStrictEqual(Object.keys(answer.json), ["code", "msg", "data"])
  assert.strictEqual(answer.json.code, code)
  assert.isString(answer.json.msg)
  assertCommonHeaders(answer)
  if (code !== 0) assert.strictEqual(answer.headers["x-error-doc"], `/docs/errors/${code}`)
  if (status === 429 || status === 503) assert.match(String(answer.headers["retry-after"]), /^[1-9]\d*$/)
}

const assertCommonHeaders = (answer: TestEdge.Answer) => {
  assert.match(String(answer.headers["x-trace-id"]), /^[0-9a-f]{32}$/)
  assert.closeTo(Number(answer.headers["x-server-time"]), Date.now(), 60_000)
}

const SECRET = "the cause of it all"

layer(
  TestEdge.layer({
    identity: {
      getUser: () => Effect.die(new Error(SECRET)),
      login: () => Effect.fail(new RateLimited({ retry_after_ms: 1_500 })),
      getWallet: () => Effect.fail(new Busy({ retry_after_ms: 2_500 })),
      // An amount that no JavaScript number holds breaks the answer's own schema.
      listWalletEntries: () =>
        Effect.succeed(Messages.walletEntries([{ id: 1n, kind: 1, amount: 2n ** 62n, balanceAfter: 1n }])),
      logout: () => Effect.never,
    },
    inventory: {
      getProduct: () => Effect.succeed(Messages.product()),
      listProducts: () =>
        Effect.succeed(
          Messages.products(Array.from({ length: 5 }, (_, i) => Messages.product({ id: BigInt(i + 1) }))),
        ),
    },
  }),
  live,
)("the framework's own answers", (it) => {
  describe("paths and methods", () => {
    for (const path of [
      "/nope",
      "/",
      "/products/",
      "/Products",
      "//products",
      "/orders/a/b/c",
      "/metrics",
      "/debug",
    ]) {
      it.effect(`${path} is an enveloped 404`, () =>
        Effect.gen(function* () {
          const { ask } = yield* TestEdge.TestEdge
          assertEnvelope(yield* ask(path), 404, 404)
        }),
      )
    }

    it.effect("a wrong method is 405 with the methods that there are", () =>
      Effect.gen(function* () {
        const { ask } = yield* TestEdge.TestEdge
        const products = yield* ask("/products", { method: "DELETE" })
        assertEnvelope(products, 405, 405)
        assert.strictEqual(products.headers.allow, "GET, POST, HEAD, OPTIONS")
        const seckill = yield* ask("/seckill")
        assertEnvelope(seckill, 405, 405)
        assert.strictEqual(seckill.headers.allow, "POST, OPTIONS")
        const pay = yield* ask("/orders/x/pay", { method: "PUT" })
        assertEnvelope(pay, 405, 405)
        assert.strictEqual(pay.headers.allow, "POST, OPTIONS")
      }),
    )

    it.effect("a broken escape in a path is 400", () =>
      Effect.gen(function* () {
        const { ask } = yield* TestEdge.TestEdge
        for (const path of ["/orders/%zz", "/orders/%ff", "/product/%00"]) {
          assertEnvelope(yield* ask(path), 400, 400)
        }
      }),
    )

    it.effect("HEAD answers as GET, without the body", () =>
      Effect.gen(function* () {
        const { ask } = yield* TestEdge.TestEdge
        const found = yield* ask("/product/42", { method: "HEAD" })
        assert.strictEqual(found.status, 200)
        assert.strictEqual(found.text, "")
        const missing = yield* ask("/nope", { method: "HEAD" })
        assert.strictEqual(missing.status, 404)
        assert.strictEqual(missing.text, "")
      }),
    )

    it.effect("a target in absolute form is understood", () =>
      Effect.gen(function* () {
        const { raw } = yield* TestEdge.TestEdge
        const answer = yield* raw(
          "GET http://shop.example/livez?x=1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        )
        assert.match(answer, /^HTTP\/1\.1 200 /)
      }),
    )
  })

  describe("bodies", () => {
    const login = (body: unknown, headers: Record<string, string> = {}) =>
      Effect.flatMap(TestEdge.TestEdge, ({ ask }) => ask("/login", { method: "POST", body, headers }))

    const malformed = [
      '{"username":"a","password":',
      "{'username':'a'}",
      '{"username":"a","username":"b","password":"c"}',
      '{"username":"a","password":"b","__proto__":{"x":1}}',
      '{"username":"a","\\u0075sername":"b","password":"c"}',
      '{"username":"a","password":"b"} x',
      `${"[".repeat(40)}${"]".repeat(40)}`,
      Buffer.from([0x22, 0xff, 0x22]),
      "\ufeff{}",
    ]
    for (const body of malformed) {
      it.effect(`malformed: ${String(body).slice(0, 60)}`, () =>
        Effect.gen(function* () {
          assertEnvelope(yield* login(body), 400, 400)
          const { ask } = yield* TestEdge.TestEdge
          assertEnvelope(yield* ask("/seckill", { body, headers: bearer({ userId: 7 }) }), 400, 400)
        }),
      )
    }

    it.effect("every field that is wrong is named at once, and unknown fields are wrong", () =>
      Effect.gen(function* () {
        const { ask } = yield* TestEdge.TestEdge
        const answer = yield* ask("/register", { body: { username: "a", role: "admin" } })
        assertEnvelope(answer, 400, 400)
        const paths = answer.json.data.issues.map((issue: { path: string }) => issue.path)
        assert.sameMembers(paths, ["username", "password", "role"])
      }),
    )

    it.effect("a value that was refused isn't repeated", () =>
      Effect.gen(function* () {
        const { ask } = yield* TestEdge.TestEdge
        const answer = yield* ask("/register", { body: { username: "alice", password: ["hunter2"] } })
        assertEnvelope(answer, 400, 400)
        assert.notInclude(answer.text, "hunter2")
      }),
    )

    it.effect("no body reads as one without fields", () =>
      Effect.gen(function* () {
        const { ask } = yield* TestEdge.TestEdge
        const answer = yield* ask("/login", { method: "POST" })
        assertEnvelope(answer, 400, 400)
        assert.lengthOf(answer.json.data.issues, 2)
      }),
    )

    for (const type of [
      "text/plain",
      "application/jsonp",
      "application/json-patch+json",
      "application/x-www-form-urlencoded",
      "application/json; charset=gbk",
      "multipart/form-data; boundary=x",
    ]) {
      it.effect(`${type} is 415`, () =>
        Effect.gen(function* () {
          assertEnvelope(yield* login("{}", { "content-type": type }), 415, 415)
          const { ask } = yield* TestEdge.TestEdge
          const headers = { ...bearer({ userId: 7 }), "content-type": type }
          assertEnvelope(yield* ask("/seckill", { body: "{}", headers }), 415, 415)
        }),
      )
    }

    it.effect("a charset of UTF-8 may be said", () =>
      Effect.gen(function* () {
        assertEnvelope(yield* login({}, { "content-type": "Application/JSON; charset=UTF-8" }), 400, 400)
      }),
    )

    it.effect("a compressed body is 415: none of ours is large", () =>
      Effect.gen(function* () {
        assertEnvelope(yield* login("{}", { "content-encoding": "gzip" }), 415, 415)
      }),
    )

    for (const [name, size] of [
      ["just over 64 KiB", 64 * 1024 + 1],
      ["far over", 8 * 1024 * 1024],
    ] as const) {
      it.effect(`a body ${name} is 413, with and without a length`, () =>
        Effect.gen(function* () {
          const { ask } = yield* TestEdge.TestEdge
          const body = `"${"a".repeat(size - 2)}"`
          const withLength = { "content-length": String(size) }
          for (const headers of [withLength, { "transfer-encoding": "chunked" }]) {
            for (const path of ["/login", "/seckill", "/payment/callback"]) {
              const answer = yield* ask(path, { body, headers: { ...headers, ...bearer({ userId: 7 }) } })
              assertEnvelope(answer, 413, 413)
              assert.strictEqual(answer.headers.connection, "close")
            }
          }
        }),
      )
    }

    it.effect("64 KiB is not too much", () =>
      Effect.gen(function* () {
        const { ask } = yield* TestEdge.TestEdge
        const body = `"${"a".repeat(64 * 1024 - 2)}"`
        assertEnvelope(yield* ask("/login", { body }), 400, 400)
      }),
    )
  })

  describe("what the parser refuses", () => {
    const cases: ReadonlyArray<readonly [name: string, text: string, status: number]> = [
      ["not HTTP", "hello\r\n\r\n", 400],
      ["a space in the target", "GET /a b c HTTP/1.1\r\nHost: x\r\n\r\n", 400],
      ["headers that never end", `GET / HTTP/1.1\r\nHost: x\r\nA: ${"a".repeat(20_000)}\r\n\r\n`, 400],
      [
        "two lengths",
        "POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
        400,
      ],
      ["CONNECT", "CONNECT example.com:443 HTTP/1.1\r\nHost: x\r\n\r\n", 405],
    ]
    for (const [name, text, status] of cases) {
      it.effect(`${name} is an enveloped ${status}`, () =>
        Effect.gen(function* () {
          const { raw } = yield* TestEdge.TestEdge
          const answer = yield* raw(text)
          assert.match(answer, new RegExp(`^HTTP/1\\.1 ${status} `))
          assert.match(answer, /\r\nx-trace-id: [0-9a-f]{32}\r\n/)
          const body = JSON.parse(answer.slice(answer.indexOf("\r\n\r\n") + 4))
          assert.strictEqual(body.code, status)
        }),
      )
    }

    it.effect("a request without a Host, or with a strange Expect, is answered like any other", () =>
      Effect.gen(function* () {
        const { raw } = yield* TestEdge.TestEdge
        assert.match(yield* raw("GET /livez HTTP/1.1\r\nConnection: close\r\n\r\n"), /"status":"ok"/)
        const expecting = "GET /livez HTTP/1.1\r\nHost: x\r\nExpect: cake\r\nConnection: close\r\n\r\n"
        assert.match(yield* raw(expecting), /"status":"ok"/)
      }),
    )

    it.effect(
      "a body or headers that don't come are 408, or closed, within 10 s",
      () =>
        Effect.gen(function* () {
          const { raw } = yield* TestEdge.TestEdge
          const began = Date.now()
          const [body, headers] = yield* Effect.all(
            [
              raw(
                "POST /login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{",
              ),
              raw("GET /livez HTTP/1.1\r\nHost: x\r\nA: "),
            ],
            { concurrency: 2 },
          )
          assert.isBelow(Date.now() - began, 11_000)
          for (const answer of [body, headers]) {
            assert.match(answer, /^HTTP\/1\.1 408 /)
            assert.match(answer, /"code":408/)
          }
        }),
      20_000,
    )
  })

  describe("errors of handlers", () => {
    it.effect("a defect is 500 and says nothing of its cause", () =>
      Effect.gen(function* () {
        const { ask } = yield* TestEdge.TestEdge
        const answer = yield* ask("/profile", { headers: bearer({ userId: 7 }) })
        assertEnvelope(answer, 500, 500)
        assert.isNull(answer.json.data)
        assert.notInclude(answer.text, SECRET)
      }),
    )

    it.effect("an answer that breaks its schema is our defect, not the client's", () =>
      Effect.gen(function* () {
        const { ask } = yield* TestEdge.TestEdge
        const answer = yield* ask("/wallet/entries", { headers: bearer({ userId: 7 }) })
        assertEnvelope(answer, 500, 500)
      }),
    )

    it.effect("a limit and a busy system say when to come back, in whole seconds", () =>
      Effect.gen(function* () {
        const { ask } = yield* TestEdge.TestEdge
        const limited = yield* ask("/login", { body: { username: "alice", password: "x" } })
        assertEnvelope(limited, 429, 429)
        assert.strictEqual(limited.headers["retry-after"], "2")
        const busy = yield* ask("/wallet", { headers: bearer({ userId: 7 }) })
        assertEnvelope(busy, 503, 530)
        assert.strictEqual(busy.headers["retry-after"], "3")
      }),
    )

    it.effect(
      "a handler that takes longer than 5 s is answered 503, even where it can't be interrupted",
      () =>
        Effect.gen(function* () {
          const { ask } = yield* TestEdge.TestEdge
          const began = Date.now()
          assertEnvelope(yield* ask("/logout", { body: { refresh_token: "x" } }), 503, 530)
          assert.isBelow(Date.now() - began, 6_500)
        }),
      20_000,
    )
  })

  describe("headers", () => {
    it.effect("msg is in the reader's language", () =>
      Effect.gen(function* () {
        const { ask } = yield* TestEdge.TestEdge
        const zh = yield* ask("/nope", { headers: { "accept-language": "fr, zh-CN;q=0.9, en;q=0.8" } })
        assert.strictEqual(zh.json.msg, catalogue.NOT_FOUND.zh)
        const hot = yield* ask("/seckill", { body: {}, headers: { "accept-language": "zh" } })
        assert.strictEqual(hot.json.msg, catalogue.UNAUTHENTICATED.zh)
        const en = yield* ask("/nope", { headers: { "accept-language": "en, zh;q=0.9" } })
        assert.strictEqual(en.json.msg, catalogue.NOT_FOUND.en)
      }),
    )

    it.effect("a caller's trace id comes back; without one there is a new one", () =>
      Effect.gen(function* () {
        const { ask } = yield* TestEdge.TestEdge
        const traceId = "0af7651916cd43dd8448eb211c80319c"
        const traceparent = `00-${traceId}-b7ad6b7169203331-00`
        for (const path of ["/livez", "/nope"]) {
          const answer = yield* ask(path, { headers: { traceparent } })
          assert.strictEqual(answer.headers["x-trace-id"], traceId)
        }
        const hot = yield* ask("/seckill", { body: {}, headers: { traceparent } })
        assert.strictEqual(hot.headers["x-trace-id"], traceId)
        const broken = yield* ask("/livez", { headers: { traceparent: "00-xyz" } })
        assertCommonHeaders(broken)
      }),
    )

    it.effect("an allowed origin's preflight is 204 and cached; a foreign one gets no allow header", () =>
      Effect.gen(function* () {
        const { ask } = yield* TestEdge.TestEdge
        for (const path of ["/seckill", "/products", "/nope"]) {
          const allowed = yield* ask(path, { method: "OPTIONS", headers: { origin: "https://shop.example" } })
          assert.strictEqual(allowed.status, 204)
          assert.strictEqual(allowed.text, "")
          assertCommonHeaders(allowed)
          assert.strictEqual(allowed.headers["access-control-allow-origin"], "https://shop.example")
          assert.include(String(allowed.headers["access-control-allow-headers"]), "idempotency-key")
          assert.strictEqual(allowed.headers["access-control-max-age"], "600")
          assert.isUndefined(allowed.headers["access-control-allow-credentials"])
          const foreign = yield* ask(path, { method: "OPTIONS", headers: { origin: "https://evil.example" } })
          assert.strictEqual(foreign.status, 204)
          assert.isUndefined(foreign.headers["access-control-allow-origin"])
        }
      }),
    )

    it.effect("answers to an allowed origin may be read by it, failures too", () =>
      Effect.gen(function* () {
        const { ask } = yield* TestEdge.TestEdge
        const asks = [
          ask("/livez", { headers: { origin: "https://shop.example" } }),
          ask("/nope", { headers: { origin: "https://shop.example" } }),
          ask("/seckill", { body: {}, headers: { origin: "https://shop.example" } }),
        ]
        for (const answer of yield* Effect.all(asks)) {
          assert.strictEqual(answer.headers["access-control-allow-origin"], "https://shop.example")
          assert.include(String(answer.headers["access-control-expose-headers"]), "x-trace-id")
          assert.include(String(answer.headers["vary"]), "Origin")
        }
      }),
    )

    it.effect("large JSON is compressed as the client likes it, small isn't", () =>
      Effect.gen(function* () {
        const { ask } = yield* TestEdge.TestEdge
        const plain = yield* ask("/products")
        assert.isUndefined(plain.headers["content-encoding"])
        const br = yield* ask("/products", { headers: { "accept-encoding": "gzip, br" } })
        assert.strictEqual(br.headers["content-encoding"], "br")
        assert.strictEqual(brotliDecompressSync(Buffer.from(br.text, "latin1")).toString(), plain.text)
        const gz = yield* ask("/products", { headers: { "accept-encoding": "gzip, br;q=0" } })
        assert.strictEqual(gz.headers["content-encoding"], "gzip")
        assert.strictEqual(gunzipSync(Buffer.from(gz.text, "latin1")).toString(), plain.text)
        assert.include(String(gz.headers["vary"]), "Accept-Encoding")
        const small = yield* ask("/livez", { headers: { "accept-encoding": "gzip, br" } })
        assert.isUndefined(small.headers["content-encoding"])
      }),
    )

    it.effect("answers to a signed-in user are not stored", () =>
      Effect.gen(function* () {
        const { ask } = yield* TestEdge.TestEdge
        const wallet = yield* ask("/wallet", { headers: bearer({ userId: 7 }) })
        assert.strictEqual(wallet.headers["cache-control"], "no-store")
      }),
    )
  })
})

describe("closing", () => {
  it.live("requests in hand are finished, new ones refused, open connections told to leave", () =>
    Effect.gen(function* () {
      const arrived = yield* Deferred.make<void>()
      const release = yield* Deferred.make<void>()
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(
        TestEdge.layer({
          identity: {
            getWallet: () =>
              Effect.as(
                Effect.zipRight(Deferred.succeed(arrived, undefined), Deferred.await(release)),
                Messages.wallet(),
              ),
          },
        }),
        scope,
      )
      const { ask, port } = yield* Effect.provide(TestEdge.TestEdge, context)
      const readiness = yield* Effect.provide(Readiness, context)
      const working = yield* Effect.fork(ask("/wallet", { headers: bearer({ userId: 7 }) }))
      yield* Deferred.await(arrived)
      yield* readiness.drain
      const draining = yield* ask("/readyz")
      assert.strictEqual(draining.status, 503)
      assert.deepStrictEqual(draining.json.data, { status: "draining" })
      assert.strictEqual(draining.headers.connection, "close")
      const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
      yield* Effect.yieldNow()
      yield* Deferred.succeed(release, undefined)
      const answer = yield* Fiber.join(working)
      assert.strictEqual(answer.status, 200)
      yield* Fiber.join(closing)
      const after = yield* Effect.exit(ask("/livez"))
      assert.isTrue(Exit.isFailure(after), `still listening on ${port}`)
    }),
  )

  it.scopedLive("an edge that is told to stop takes new connections until its notice is over", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(TestEdge.layer({}, { drainNoticeMs: 1_000 }), scope)
      const { ask, port } = yield* Effect.provide(TestEdge.TestEdge, context)
      const readiness = yield* Effect.provide(Readiness, context)
      yield* readiness.drain
      const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
      yield* Effect.sleep(100)
      const late = yield* ask("/livez")
      assert.strictEqual(late.status, 200)
      assert.strictEqual(late.headers.connection, "close")
      yield* Fiber.join(closing)
      assert.isTrue(Exit.isFailure(yield* Effect.exit(ask("/livez"))), `still listening on ${port}`)
    }),
  )
})
