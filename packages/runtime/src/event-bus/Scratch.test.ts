import { it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as KafkaBus from "./KafkaBus.ts"

it.live("scratch", () =>
  Effect.gen(function* () {
    const bus = yield* KafkaBus.make({
      brokers: ["127.0.0.1:19092"],
      replicationFactor: 1,
      prefix: `s${Date.now()}.`,
    })
    yield* bus.ensureTopics({ x: 4 }).pipe(Effect.retry({ times: 5 }))
    yield* bus.publish(
      "x",
      Array.from({ length: 40 }, (_, i) => ({ key: String(i), value: String(i), partition: i % 4 })),
    )
    const f = yield* Effect.fork(
      bus.consume({
        group: "g",
        topics: ["x"],
        handle: (b) =>
          Effect.suspend(() => {
            console.log(performance.now().toFixed(0), "H", b[0]!.partition, b[0]!.offset, b.length)
            return b[0]!.partition === 2 ? Effect.fail("no") : Effect.void
          }),
      }),
    )
    yield* Effect.sleep("3 seconds")
    yield* Fiber.interrupt(f)
  }).pipe(Effect.scoped, Logger.withMinimumLogLevel(LogLevel.Debug)),
)
