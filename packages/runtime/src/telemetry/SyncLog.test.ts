import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as JsonLogger from "./JsonLogger.ts"
import * as SyncLog from "./SyncLog.ts"

const written = (least: LogLevel.LogLevel) => {
  const lines: Array<unknown> = []
  const logger = JsonLogger.make("test", (line) => lines.push(JSON.parse(line)))
  return {
    lines,
    layer: Logger.replace(Logger.defaultLogger, logger),
    least: Logger.withMinimumLogLevel(least),
  }
}

describe("SyncLog", () => {
  it.effect("a line is the one that Effect.log would write", () => {
    const { layer, least, lines } = written(LogLevel.Info)
    const fields = { trace_id: "0af7651916cd43dd8448eb211c80319c", user_id: 7, token: "hidden" }
    return Effect.gen(function* () {
      const log = yield* SyncLog.make
      log("reserved", fields)
      yield* Effect.logInfo("reserved").pipe(Effect.annotateLogs(fields))
      expect(lines).toHaveLength(2)
      expect(lines[0]).toEqual(lines[1])
      expect(lines[0]).toMatchObject({
        level: "info",
        msg: "reserved",
        user_id: 7,
        token: "<redacted>",
        group: "a",
      })
    }).pipe(Effect.annotateLogs({ group: "a" }), least, Effect.provide(layer))
  })

  it.effect("what is below the least level isn't written", () => {
    const { layer, least, lines } = written(LogLevel.Warning)
    return Effect.gen(function* () {
      const log = yield* SyncLog.make
      log("reserved", {})
      expect(lines).toEqual([])
    }).pipe(least, Effect.provide(layer))
  })
})
