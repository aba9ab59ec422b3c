import { createHash } from "node:crypto"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { create } from "@bufbuild/protobuf"
import { assert, layer } from "@effect/vitest"
import { MediaSchema } from "@floodgate/contracts/gen/floodgate/inventory/v1/inventory_pb"
import { MAX_BYTES } from "@floodgate/contracts/http/MediaApi"
import * as Effect from "effect/Effect"
import { afterAll } from "vitest"
import * as TestEdge from "../testing/TestEdge.ts"

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "floodgate-media-"))
afterAll(() => fs.rmSync(folder, { recursive: true, force: true }))

const operator = TestEdge.bearer({ userId: 5, username: "operator", roles: ["operator"] })
const customer = TestEdge.bearer({ userId: 6, username: "buyer", roles: ["customer"] })

const png = (bytes: number) =>
  Buffer.concat([Buffer.from("\u0089PNG\r\n\u001a\n", "latin1"), Buffer.alloc(bytes - 8)])

const taken: Array<{ bytes: number; reason: string }> = []

const inventory = {
  uploadMedia: ({ file, reason }: { readonly file?: Uint8Array; readonly reason?: string }) =>
    Effect.sync(() => {
      taken.push({ bytes: file!.length, reason: reason! })
      return create(MediaSchema, { sha256: "ab".repeat(32), width: 60, height: 40, bytes: 99n })
    }),
}

const upload = (body: Buffer | string, headers: Record<string, string> = {}, query = "") =>
  Effect.flatMap(TestEdge.TestEdge, (edge) =>
    edge.ask(`/admin/media${query}`, {
      method: "POST",
      body,
      headers: { "content-type": "image/png", ...operator, ...headers },
    }),
  )

layer(TestEdge.layer({ inventory }, { mediaDir: folder }), { excludeTestServices: true })(
  "pictures",
  (it) => {
    it.effect("one of the largest size is taken, and answered with its address", () =>
      Effect.gen(function* () {
        taken.length = 0
        const answer = yield* upload(png(MAX_BYTES), {}, "?reason=the%20spring%20sale")
        assert.strictEqual(answer.status, 201)
        assert.deepStrictEqual(answer.json.data, {
          url: `/media/${"ab".repeat(32)}.webp`,
          width: 60,
          height: 40,
          bytes: 99,
        })
        assert.deepStrictEqual(taken, [{ bytes: MAX_BYTES, reason: "the spring sale" }])
      }),
    )

    it.effect("what is larger, of another kind, or said to be of another kind never leaves the edge", () =>
      Effect.gen(function* () {
        taken.length = 0
        const svg = '<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
        const answers = yield* Effect.all([
          upload(png(MAX_BYTES + 1)),
          upload(svg),
          upload(svg, { "content-type": "image/svg+xml" }),
          upload(png(100), { "content-type": "application/json" }),
          upload(png(100), { "content-type": "image/gif" }),
          upload(Buffer.alloc(0)),
        ])
        assert.deepStrictEqual(
          answers.map(({ json, status }) => [status, json.code]),
          [[413, 413], ...Array.from({ length: 5 }, () => [415, 415])],
        )
        assert.deepStrictEqual(answers[0]!.json.data, { limit_bytes: MAX_BYTES })
        // Not even read: its sender says how much it would be.
        const edge = yield* TestEdge.TestEdge
        const told = yield* edge.raw(
          `POST /admin/media HTTP/1.1\r\nHost: x\r\nAuthorization: ${operator.authorization}\r\n` +
            "Content-Type: image/png\r\nContent-Length: 1000000000\r\n\r\n",
        )
        assert.match(told, /^HTTP\/1\.1 413 /)
        assert.isEmpty(taken)
      }),
    )

    it.effect("nobody's bytes are read who may not send any", () =>
      Effect.gen(function* () {
        taken.length = 0
        const edge = yield* TestEdge.TestEdge
        const stranger = yield* edge.ask("/admin/media", {
          method: "POST",
          body: png(1_000_000),
          headers: { "content-type": "image/png" },
        })
        assert.deepStrictEqual([stranger.status, stranger.json.code], [401, 401])
        const buyer = yield* upload(png(1_000_000), customer)
        assert.deepStrictEqual([buyer.status, buyer.json.code], [403, 403])
        assert.isEmpty(taken)
      }),
    )

    it.effect("is served under its name for good, as what it is, and nothing else of the folder is", () =>
      Effect.gen(function* () {
        const edge = yield* TestEdge.TestEdge
        const bytes = Buffer.from("RIFF0000WEBPpicture")
        const name = createHash("sha256").update(bytes).digest("hex")
        fs.writeFileSync(path.join(folder, `${name}.webp`), bytes)
        fs.writeFileSync(path.join(folder, "secret.txt"), "no")
        const shown = yield* edge.ask(`/media/${name}.webp`)
        assert.strictEqual(shown.status, 200)
        assert.strictEqual(shown.text, bytes.toString())
        assert.deepInclude(shown.headers, {
          "content-type": "image/webp",
          "cache-control": "public, max-age=31536000, immutable",
          "x-content-type-options": "nosniff",
          etag: `"${name}"`,
          "content-length": String(bytes.length),
        })
        const again = yield* edge.ask(`/media/${name}.webp`, { headers: { "if-none-match": `"${name}"` } })
        assert.strictEqual(again.status, 304)
        const head = yield* edge.ask(`/media/${name}.webp`, { method: "HEAD" })
        assert.deepStrictEqual([head.status, head.text], [200, ""])
        for (const path of [
          `/media/${"0".repeat(64)}.webp`,
          "/media/secret.txt",
          "/media/../secret.txt",
          "/media/%2e%2e%2fsecret.txt",
          "/media/",
        ]) {
          const nothing = yield* edge.ask(path)
          assert.deepStrictEqual([nothing.status, nothing.json.code], [404, 404], path)
        }
        const written = yield* edge.ask(`/media/${name}.webp`, { method: "DELETE" })
        assert.strictEqual(written.status, 405)
      }),
    )
  },
)
