import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { brotliCompressSync, brotliDecompressSync, gzipSync } from "node:zlib"
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { afterAll } from "vitest"
import * as TestEdge from "../testing/TestEdge.ts"
import * as Site from "./Site.ts"

const live = { excludeTestServices: true } as const

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "floodgate-pages-"))
afterAll(() => fs.rmSync(folder, { recursive: true, force: true }))

const script = "console.log('hello')\n".repeat(100)
fs.mkdirSync(path.join(folder, "assets"))
fs.writeFileSync(path.join(folder, "index.html"), "<!doctype html><title>shop</title>")
fs.writeFileSync(path.join(folder, "console.html"), "<!doctype html><title>console</title>")
fs.writeFileSync(path.join(folder, "assets/shop-1a2b.js"), script)
fs.writeFileSync(path.join(folder, "assets/shop-1a2b.js.br"), brotliCompressSync(script))
fs.writeFileSync(path.join(folder, "assets/shop-1a2b.js.gz"), gzipSync(script))
fs.writeFileSync(path.join(folder, "stamp.json"), "{}")
fs.writeFileSync(path.join(folder, "assets/shop-1a2b.js.map"), "{}")

layer(TestEdge.layer({}, { webDir: folder }), live)("the pages", (it) => {
  it.effect(
    "/ and /s/* are the storefront, /console and below the console; with a policy that allows nothing inline",
    () =>
      Effect.gen(function* () {
        const { ask } = yield* TestEdge.TestEdge
        for (const [at, title] of [
          ["/", "shop"],
          ["/?from=mail", "shop"],
          ["/s/orders/1", "shop"],
          ["/console", "console"],
          ["/console/users", "console"],
        ] as const) {
          const answer = yield* ask(at)
          assert.strictEqual(answer.status, 200, at)
          assert.include(answer.text, `<title>${title}</title>`)
          assert.strictEqual(answer.headers["content-type"], "text/html; charset=utf-8")
          assert.strictEqual(answer.headers["cache-control"], "no-cache")
          assert.match(String(answer.headers["x-trace-id"]), /^[0-9a-f]{32}$/)
          const policy = String(answer.headers["content-security-policy"])
          assert.include(policy, "default-src 'self'")
          // One style by its hash, which no other text has.
          assert.match(policy, /style-src 'self' 'sha256-[A-Za-z0-9+/]{43}=';/)
          assert.notInclude(policy, "unsafe")
        }
      }),
  )

  it.effect("assets are immutable, come compressed as the client likes them, and are asked for once", () =>
    Effect.gen(function* () {
      const { ask } = yield* TestEdge.TestEdge
      const plain = yield* ask("/assets/shop-1a2b.js")
      assert.strictEqual(plain.text, script)
      assert.strictEqual(plain.headers["cache-control"], "public, max-age=31536000, immutable")
      assert.strictEqual(plain.headers.vary, "Origin, Accept-Encoding")
      const br = yield* ask("/assets/shop-1a2b.js", { headers: { "accept-encoding": "gzip, br" } })
      assert.strictEqual(br.headers["content-encoding"], "br")
      assert.strictEqual(brotliDecompressSync(Buffer.from(br.text, "latin1")).toString(), script)
      assert.notStrictEqual(br.headers.etag, plain.headers.etag)
      const gzip = yield* ask("/assets/shop-1a2b.js", { headers: { "accept-encoding": "gzip" } })
      assert.strictEqual(gzip.headers["content-encoding"], "gzip")
      const again = yield* ask("/assets/shop-1a2b.js", {
        headers: { "accept-encoding": "gzip, br", "if-none-match": `"x", W/${br.headers.etag}` },
      })
      assert.strictEqual(again.status, 304)
      assert.strictEqual(again.text, "")
      const head = yield* ask("/assets/shop-1a2b.js", { method: "HEAD" })
      assert.deepStrictEqual([head.status, head.text], [200, ""])
      assert.strictEqual(head.headers["content-length"], String(script.length))
    }),
  )

  it.effect("everything else never answers HTML", () =>
    Effect.gen(function* () {
      const { ask } = yield* TestEdge.TestEdge
      for (const at of [
        "/index.html",
        "/s",
        "/consoles",
        "/docs",
        "/nope",
        "/stamp.json",
        "/assets/",
        "/assets/gone.js",
        "/assets/shop-1a2b.js.br",
        "/assets/shop-1a2b.js.map",
        "/assets/../stamp.json",
        "/assets/..%2findex.html",
        "/assets/__proto__",
      ]) {
        const answer = yield* ask(at)
        assert.strictEqual(answer.json?.code, 404, at)
        assert.strictEqual(answer.status, 404, at)
      }
      const post = yield* ask("/", { method: "POST", body: {} })
      assert.deepStrictEqual(
        [post.status, post.json.code, post.headers.allow],
        [405, 405, "GET, HEAD, OPTIONS"],
      )
    }),
  )

  it.effect("a folder that isn't there, or has no storefront, makes an edge without pages", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* Site.load(path.join(folder, "gone"))).files.size, 0)
      assert.strictEqual((yield* Site.load(path.join(folder, "assets"))).files.size, 0)
      assert.strictEqual((yield* Site.load(undefined)).files.size, 0)
      assert.strictEqual((yield* Site.load(folder)).files.size, 3)
    }),
  )
})
