import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as JsonLogger from "./JsonLogger.ts"
import * as LogSink from "./LogSink.ts"
import * as RotatingFile from "./RotatingFile.ts"
import * as TraceContext from "./TraceContext.ts"

const TRACE = "0af7651916cd43dd8448eb211c80319c"
const SPAN = "b7ad6b7169203331"

/** The records that an effect logs. */
const logged = (self: Effect.Effect<unknown>) =>
  Effect.gen(function* () {
    const lines: Array<string> = []
    yield* Effect.provide(
      self,
      Logger.replace(
        Logger.defaultLogger,
        JsonLogger.make("ordering", (line) => lines.push(line.slice(0, -1))),
      ),
    )
    for (const one of lines) assert.notInclude(one, "\n")
    return lines.map((one) => JSON.parse(one) as Record<string, unknown>)
  })

describe("a log line", () => {
  it.effect("has time, level, service, message, trace and annotations", () =>
    Effect.gen(function* () {
      const records = yield* logged(
        Effect.logWarning("order", "created").pipe(
          Effect.annotateLogs({ user_id: 7, order_num: "0abc" }),
          TraceContext.withParent(`00-${TRACE}-${SPAN}-01`),
        ),
      )
      assert.deepStrictEqual(records, [
        {
          time: "1970-01-01T00:00:00.000Z",
          level: "warn",
          service: "ordering",
          msg: "order created",
          trace_id: TRACE,
          span_id: SPAN,
          user_id: 7,
          order_num: "0abc",
        },
      ])
    }),
  )

  it.effect("has no trace where there is none, not even that of a disabled tracer", () =>
    Effect.gen(function* () {
      const [record] = yield* logged(
        Effect.logInfo("x").pipe(Effect.withSpan("span"), Effect.withTracerEnabled(false)),
      )
      assert.notProperty(record, "trace_id")
    }),
  )

  it.effect("takes its trace from an annotation where there is no span, and only there", () =>
    Effect.gen(function* () {
      const told = Effect.annotateLogs(Effect.logInfo("x"), "trace_id", "f".repeat(32))
      const [alone, within] = yield* logged(
        Effect.zipRight(told, TraceContext.withParent(`00-${TRACE}-${SPAN}-01`)(told)),
      )
      assert.strictEqual(alone?.["trace_id"], "f".repeat(32))
      assert.notProperty(alone, "trace_id_")
      assert.strictEqual(within?.["trace_id"], TRACE)
      assert.strictEqual(within?.["trace_id_"], "f".repeat(32))
    }),
  )

  it.effect("keeps a cause's stack in one field", () =>
    Effect.gen(function* () {
      const [record] = yield* logged(
        Effect.die(new Error("boom\nsecond line")).pipe(
          Effect.withSpan("inner"),
          Effect.catchAllCause((cause) => Effect.logError("failed", cause)),
        ),
      )
      assert.strictEqual(record?.["msg"], "failed")
      assert.match(String(record?.["error"]), /boom\nsecond line\n\s+at /)
    }),
  )

  it.effect("never shows a secret, however deep", () =>
    Effect.gen(function* () {
      const secret = Redacted.make("hush-hush")
      const records = yield* logged(
        Effect.logInfo("with", secret, { nested: [secret] }).pipe(
          Effect.annotateLogs({ secret, deep: { map: new Map([["k", secret]]) } }),
        ),
      )
      assert.notInclude(JSON.stringify(records), "hush-hush")
      assert.strictEqual(records[0]?.["secret"], "<redacted>")
    }),
  )

  it.effect("takes whatever it is given, and stays within bounds", () =>
    Effect.gen(function* () {
      const cyclic: Record<string, unknown> = { big: 12n, symbol: Symbol("s"), nan: Number.NaN }
      cyclic["self"] = cyclic
      const hostile = {
        get trap() {
          throw new Error("trap")
        },
      }
      const [record] = yield* logged(
        Effect.logInfo("x".repeat(100_000)).pipe(
          Effect.annotateLogs({
            cyclic,
            hostile,
            bytes: new Uint8Array(9),
            error: new TypeError("no"),
            list: Array.from({ length: 5_000 }, (_, n) => n),
          }),
        ),
      )
      assert.isBelow(JSON.stringify(record).length, 20_000)
      assert.strictEqual(record?.["hostile"], "[unreadable]")
      assert.strictEqual(record?.["bytes"], "[9 bytes]")
      assert.strictEqual(record?.["error_"], "TypeError: no", "a cause's field isn't an annotation's to take")
      assert.deepInclude(record?.["cyclic"], { big: "12", nan: "NaN" })
    }),
  )
})

const turnedOver = (path: string, maxSize: string) => ({ path, maxSize, maxAge: "1d", maxFiles: 2 })

const scopedFolder = Effect.acquireRelease(
  Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "floodgate-log-"))),
  (path) => Effect.sync(() => Fs.rmSync(path, { recursive: true, force: true })),
)

describe("the logger's layer", () => {
  it.scopedLive("appends to the file, from the least level up, and is written when it closes", () =>
    Effect.gen(function* () {
      const folder = yield* scopedFolder
      const file = Path.join(folder, "a.log")
      Fs.writeFileSync(file, "before\n")
      const quiet = {
        service: "edge",
        minimumLevel: LogLevel.Warning,
        pretty: true,
        file: turnedOver(file, "1M"),
      }
      yield* Effect.provide(
        Effect.zipRight(Effect.logInfo("no"), Effect.logError("yes")),
        JsonLogger.layer(quiet),
      )
      const [first, second, ...rest] = Fs.readFileSync(file, "utf8").split("\n")
      assert.strictEqual(first, "before")
      assert.include(JSON.parse(second ?? ""), { level: "error", service: "edge", msg: "yes" })
      assert.deepStrictEqual(rest, [""])
    }),
  )

  it.scopedLive("logs from another level on as soon as it is told so", () =>
    Effect.gen(function* () {
      const file = Path.join(yield* scopedFolder, "a.log")
      yield* Effect.provide(
        Effect.gen(function* () {
          const control = yield* JsonLogger.LogControl
          yield* Effect.logDebug("too small")
          control.set(LogLevel.Debug)
          assert.strictEqual(control.level(), "debug")
          yield* Effect.logDebug("now shown")
          control.set(LogLevel.Error)
          yield* Effect.logWarning("too small again")
        }),
        JsonLogger.layer({
          service: "edge",
          minimumLevel: LogLevel.Info,
          pretty: true,
          file: turnedOver(file, "1M"),
        }),
      )
      const lines = Fs.readFileSync(file, "utf8").trim().split("\n")
      assert.deepStrictEqual(
        lines.map((one) => JSON.parse(one).msg),
        ["now shown"],
      )
    }),
  )

  it.effect("a secret that came as plain text isn't written, wherever it stands", () =>
    Effect.gen(function* () {
      const [record] = yield* logged(
        Effect.logInfo("x").pipe(
          Effect.annotateLogs({
            password: "hush",
            body: { refresh_token: "hush", deep: { secret: "hush" } },
          }),
        ),
      )
      assert.notInclude(JSON.stringify(record), "hush")
      assert.strictEqual(record?.["password"], "<redacted>")
    }),
  )
})

describe("LogSink", () => {
  it("loses lines while its target fails, says how many, and goes on", () => {
    const chunks: Array<string> = []
    let works = false
    const sink = LogSink.make(
      (chunk) => {
        if (works) chunks.push(chunk)
        return works
      },
      (count) => `lost ${count}`,
    )
    sink.write("a")
    sink.write("b")
    sink.flush()
    sink.write("c")
    sink.flush()
    works = true
    sink.write("d")
    sink.flush()
    sink.flush()
    assert.deepStrictEqual(chunks, ["lost 3\nd\n"])
  })

  it("holds no more than its bound", () => {
    let written = 0
    const sink = LogSink.make(
      (chunk) => {
        written = chunk.length
        return true
      },
      () => "",
    )
    for (let n = 0; n < 6_000; n++) sink.write("x".repeat(1_024))
    sink.flush()
    assert.isAtMost(written, LogSink.MAX_HELD_CHARS + 6_000)
  })
})

const until = (condition: () => boolean) =>
  Effect.sync(condition).pipe(
    Effect.repeat({ until: (held: boolean) => held, schedule: Schedule.spaced("20 millis") }),
    Effect.timeout("20 seconds"),
    Effect.orDie,
  )

describe("RotatingFile", () => {
  const closed = (file: RotatingFile.RotatingFile) =>
    Effect.async<void>((resume) => file.close(() => resume(Effect.void)))

  it.scopedLive(
    "turns a file over when it is full, loses no line of it, and keeps as many as it was told",
    () =>
      Effect.gen(function* () {
        const folder = yield* scopedFolder
        const path = Path.join(folder, "a.log")
        const file = RotatingFile.make(path, turnedOver(path, "1K"))
        const old = () => Fs.readdirSync(folder).filter((name) => /^a\.\d{8}-\d{4}-\d+\.log$/.test(name))
        for (let n = 0; n < 5; n++) {
          assert.isTrue(file.target(`${String(n).padEnd(1_100, "x")}\n`))
          yield* until(() => old().length >= Math.min(n + 1, 2))
        }
        assert.isTrue(file.target("last\n"))
        yield* closed(file)
        assert.lengthOf(old(), 2)
        assert.include(Fs.readFileSync(path, "utf8"), "last")
        assert.strictEqual(file.lost(), 0)
      }),
  )

  it.scopedLive("a file that can't be opened costs lines, and is tried again", () =>
    Effect.gen(function* () {
      const folder = yield* scopedFolder
      const blocked = Path.join(folder, "later")
      Fs.writeFileSync(blocked, "not a folder")
      const path = Path.join(blocked, "a.log")
      const file = RotatingFile.make(path, turnedOver(path, "1M"))
      file.target("a\n")
      yield* until(() => file.lost() === 1)
      Fs.rmSync(blocked)
      yield* until(() => {
        file.target("b\n")
        return Fs.existsSync(path) && Fs.readFileSync(path, "utf8").includes("b\n")
      })
      yield* closed(file)
    }),
  )
})
