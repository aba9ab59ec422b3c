/** A small service for `Main.test.ts`, which bundles it and runs it as a process. `FIXTURE_MODE` says how it behaves. */
import * as Config from "effect/Config"
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as AppConfig from "../config/AppConfig.ts"
import * as Breakers from "../resilience/Breakers.ts"
import { Deadlines } from "../resilience/Deadlines.ts"
import * as Main from "./Main.ts"
import { Readiness } from "./Readiness.ts"

const engine = Layer.scopedDiscard(
  Effect.acquireRelease(Effect.logInfo("engine opened"), () => Effect.logInfo("engine closed")),
)

/** Work that is in hand when the signal comes, and that the layer's finalizer waits for. */
const worker = Layer.scopedDiscard(
  Effect.gen(function* () {
    const readiness = yield* Readiness
    yield* Deadlines
    yield* Breakers.gate("mysql")
    const done = yield* Deferred.make<void>()
    yield* Effect.iterate(false, {
      while: (draining) => !draining,
      body: () => Effect.delay(Effect.sync(readiness.isDraining), "10 millis"),
    }).pipe(
      Effect.zipRight(Effect.sleep("300 millis")),
      Effect.zipRight(Effect.logInfo("work finished")),
      Effect.zipRight(Deferred.succeed(done, undefined)),
      Effect.forkDaemon,
    )
    yield* Effect.addFinalizer(() => Deferred.await(done))
  }),
)

const hanging = Layer.scopedDiscard(Effect.addFinalizer(() => Effect.never))

class EngineFailed extends Data.TaggedError("EngineFailed")<{ readonly message: string }> {}

const broken = Layer.effectDiscard(
  Effect.delay(new EngineFailed({ message: "the engine is on fire" }), "50 millis"),
)

const throwing = Layer.effectDiscard(
  Effect.sync(() =>
    setTimeout(() => {
      throw new Error("thrown from a timer")
    }, 50),
  ),
)

const layer = Layer.unwrapEffect(
  Effect.map(
    AppConfig.load(Config.string("FIXTURE_MODE")),
    (mode): Layer.Layer<never, EngineFailed, Readiness | Deadlines> => {
      switch (mode) {
        case "hanging":
          return hanging
        case "stuck":
          return Layer.provide(broken, hanging)
        case "on fire":
          return Layer.provide(broken, engine).pipe(Layer.provide(Logger.minimumLogLevel(LogLevel.Fatal)))
        case "throwing":
          return throwing
        default:
          return Layer.provide(worker, engine)
      }
    },
  ),
)

Main.run({
  service: "fixture",
  layer,
  opsPort: AppConfig.port("sandboxOps"),
  requires: [AppConfig.secret("ORDER_NUM_KEY"), AppConfig.redactedUrl("REDIS_URL")],
  drainBoundMs: 1_500,
  startBoundMs: process.argv.includes("--short-start") ? 1_500 : Main.START_BOUND_MS,
})
