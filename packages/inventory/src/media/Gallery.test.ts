/** Pictures, honest and hostile, on a real disk and a real MySQL. */
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { deflateSync } from "node:zlib"
import { assert, layer } from "@effect/vitest"
import { Mysql } from "@floodgate/runtime/mysql/Mysql"
import * as TestMysql from "@floodgate/runtime/testing/TestMysql"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import sharp from "sharp"
import { afterAll } from "vitest"
import { Gallery } from "./Gallery.ts"
import * as Picture from "./Picture.ts"

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "floodgate-media-"))
afterAll(() => fs.rmSync(folder, { recursive: true, force: true }))

const live = Gallery.layer.pipe(
  Layer.provide(
    Layer.setConfigProvider(
      ConfigProvider.fromMap(
        new Map([
          ["MEDIA_DIR", path.join(folder, "media")],
          ["FLOODGATE_ROOT", folder],
        ]),
      ),
    ),
  ),
  Layer.provideMerge(TestMysql.layer({ migrations: ["inventory"], main: "inventory" })),
)

const SECRET = "taken at home, 52.5N 13.4E"

const red = () => sharp({ create: { width: 60, height: 40, channels: 3, background: "#c00" } })
const withWords = () => red().withExif({ IFD0: { ImageDescription: SECRET } })

const crcTable = Array.from({ length: 256 }, (_, n) => {
  let c = n
  for (let k = 0; k < 8; k++) c = c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1
  return c >>> 0
})
const crc = (bytes: Buffer): number => {
  let c = 0xffffffff
  for (const byte of bytes) c = crcTable[(c ^ byte) & 0xff]! ^ (c >>> 8)
  return (c ^ 0xffffffff) >>> 0
}
const chunk = (type: string, data: Buffer): Buffer => {
  const body = Buffer.concat([Buffer.from(type, "latin1"), data])
  const out = Buffer.alloc(body.length + 8)
  out.writeUInt32BE(data.length, 0)
  body.copy(out, 4)
  out.writeUInt32BE(crc(body), body.length + 4)
  return out
}

/** A small file that wants to be a very large picture. */
const bomb = (side: number): Buffer => {
  const header = Buffer.alloc(13)
  header.writeUInt32BE(side, 0)
  header.writeUInt32BE(side, 4)
  header.set([1, 0, 0, 0, 0], 8)
  const rows = deflateSync(Buffer.alloc((1 + side / 8) * side), { level: 9 })
  return Buffer.concat([
    Buffer.from("\u0089PNG\r\n\u001a\n", "latin1"),
    chunk("IHDR", header),
    chunk("IDAT", rows),
    chunk("IEND", Buffer.alloc(0)),
  ])
}

const by = (requestId: string) => ({ actorId: 9, reason: "a picture for the spring sale", requestId })

layer(live, { excludeTestServices: true })("the gallery", (it) => {
  it.effect("a picture is encoded anew, without what its file said, and named by its content", () =>
    Effect.gen(function* () {
      const gallery = yield* Gallery
      const files = yield* Effect.promise(() =>
        Promise.all([
          withWords().jpeg().toBuffer(),
          withWords().png().toBuffer(),
          withWords().webp().toBuffer(),
        ]),
      )
      for (const [i, file] of files.entries()) {
        assert.include(file.toString("latin1"), SECRET)
        const stored = yield* gallery.store(file, by(`format-${i}`))
        assert.deepInclude(stored, { width: 60, height: 40 })
        const served = fs.readFileSync(path.join(folder, "media", `${stored.sha256}.webp`))
        assert.strictEqual(served.length, stored.bytes)
        assert.strictEqual(createHash("sha256").update(served).digest("hex"), stored.sha256)
        assert.notInclude(served.toString("latin1"), SECRET)
        const about = yield* Effect.promise(() => sharp(served).metadata())
        assert.strictEqual(about.format, "webp")
        assert.isUndefined(about.exif)
      }
    }),
  )

  it.effect("the same picture twice is one file, and the same wish twice one row of the trail", () =>
    Effect.gen(function* () {
      const gallery = yield* Gallery
      const mysql = yield* Mysql
      const file = yield* Effect.promise(() => red().resize(10, 10).png().toBuffer())
      const [one, two] = yield* Effect.all(
        [gallery.store(file, by("twice")), gallery.store(file, by("twice"))],
        { concurrency: "unbounded" },
      )
      assert.deepStrictEqual(one, two)
      const rows = yield* mysql.run(
        "test.audit",
        mysql.sql<{ actor_id: number; reason: string }>`
          SELECT actor_id, reason FROM audit WHERE action = 'media.upload' AND target_id = ${one.sha256}`,
      )
      assert.deepStrictEqual(
        rows.map((row) => ({ ...row })),
        [{ actor_id: 9, reason: "a picture for the spring sale" }],
      )
      assert.isEmpty(fs.readdirSync(path.join(folder, "media")).filter((name) => name.startsWith(".")))
    }),
  )

  it.effect("what is too large to show is made smaller, and stands upright", () =>
    Effect.gen(function* () {
      const wide = yield* Effect.promise(() =>
        sharp({ create: { width: 4_000, height: 1_000, channels: 3, background: "#0c0" } })
          .withMetadata({ orientation: 6 })
          .jpeg({ quality: 40 })
          .toBuffer(),
      )
      const picture = yield* Picture.encode(wide)
      assert.deepStrictEqual([picture.width, picture.height], [512, Picture.MAX_SIDE])
    }),
  )

  it.effect("whatever isn't a whole picture of the three kinds is refused", () =>
    Effect.gen(function* () {
      const gallery = yield* Gallery
      const jpeg = yield* Effect.promise(() => red().resize(600, 600).jpeg().toBuffer())
      const png = yield* Effect.promise(() => red().resize(600, 600).png().toBuffer())
      const gif = yield* Effect.promise(() => red().gif().toBuffer())
      const svg =
        '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><script>alert(1)</script></svg>'
      const hostile = {
        "an SVG with a script": Buffer.from(svg),
        "an SVG that says it is a PNG": Buffer.concat([png.subarray(0, 8), Buffer.from(svg)]),
        "a GIF": gif,
        "half a JPEG": jpeg.subarray(0, jpeg.length / 2),
        "half a PNG": png.subarray(0, png.length / 2),
        "a page": Buffer.from("<!doctype html><script>alert(1)</script>"),
        nothing: Buffer.alloc(0),
      }
      for (const [name, file] of Object.entries(hostile)) {
        const error = yield* Effect.flip(gallery.store(file, by(`hostile ${name}`.slice(0, 60))))
        assert.strictEqual(error._tag, "InvalidInput", name)
      }
    }),
  )

  it.effect("a small file with a hundred million pixels costs nothing", () =>
    Effect.gen(function* () {
      const gallery = yield* Gallery
      const file = bomb(10_000)
      assert.isBelow(file.length, 100_000)
      const before = process.memoryUsage().rss
      const error = yield* Effect.flip(gallery.store(file, by("bomb")))
      assert.strictEqual(error._tag, "InvalidInput")
      assert.include(JSON.stringify(error), "pixels")
      assert.isBelow(process.memoryUsage().rss - before, 64 * 1024 * 1024)
    }),
  )
})
