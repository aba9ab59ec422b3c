/** `/log-level` of the ops port: the least level that is logged, and `PUT /log-level?level=debug` to change it. */
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as LogLevel from "effect/LogLevel"
import type { LogControl } from "../telemetry/JsonLogger.ts"
import * as Telemetry from "../telemetry/Telemetry.ts"
import * as OpsServer from "./OpsServer.ts"

/** The two routes. A change holds until the process ends. */
export const routes = (logs: Context.Tag.Service<LogControl>): OpsServer.OpsRoutes => ({
  "/log-level": Effect.sync(() => OpsServer.json(200, { level: logs.level(), lines_lost: logs.lost() })),
  "PUT /log-level": (query) =>
    Effect.suspend(() => {
      const level = Telemetry.levels[query.get("level") ?? ""]
      if (level === undefined) {
        const known = Object.keys(Telemetry.levels).join(", ")
        return Effect.succeed(OpsServer.json(400, { error: `level must be one of ${known}` }))
      }
      const before = logs.level()
      const change = Effect.sync(() => logs.set(level))
      const tell = Effect.annotateLogs(Effect.logWarning("the log level changes"), {
        before,
        after: query.get("level"),
      })
      // Said under whichever of the two levels shows more.
      const quieter = LogLevel.greaterThan(level, Telemetry.levels[before] ?? level)
      return (quieter ? Effect.zipRight(tell, change) : Effect.zipRight(change, tell)).pipe(
        Effect.map(() => OpsServer.json(200, { level: logs.level() })),
      )
    }),
})
