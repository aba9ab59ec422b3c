import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"
import { CHECK_DEADLINE_MS, Readiness } from "./Readiness.ts"

describe("Readiness", () => {
  it.scoped("is ready when every check says so", () =>
    Effect.gen(function* () {
      const readiness = yield* Readiness
      assert.isTrue((yield* readiness.status).ready)
      yield* readiness.register("mysql", Effect.succeed(true))
      yield* readiness.register("mysql", Effect.die("gone"))
      assert.deepStrictEqual(yield* readiness.status, {
        ready: false,
        draining: false,
        checks: { mysql: true, "mysql-2": false },
      })
    }).pipe(Effect.provide(Readiness.layer)),
  )

  it.effect("forgets a check when its scope closes", () =>
    Effect.gen(function* () {
      const readiness = yield* Readiness
      const scope = yield* Scope.make()
      yield* Scope.extend(readiness.register("redis", Effect.succeed(false)), scope)
      assert.isFalse((yield* readiness.status).ready)
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(yield* readiness.status, { ready: true, draining: false, checks: {} })
    }).pipe(Effect.provide(Readiness.layer)),
  )

  it.scoped("takes a check that hangs, even one that can't be interrupted, for a failed one", () =>
    Effect.gen(function* () {
      const readiness = yield* Readiness
      yield* readiness.register("hung", Effect.uninterruptible(Effect.never))
      const status = yield* Effect.fork(readiness.status)
      yield* TestClock.adjust(CHECK_DEADLINE_MS)
      assert.deepStrictEqual((yield* Fiber.join(status)).checks, { hung: false })
    }).pipe(Effect.provide(Readiness.layer)),
  )

  it.scoped("a drain turns it off for good, without asking anyone", () =>
    Effect.gen(function* () {
      const readiness = yield* Readiness
      let asked = 0
      yield* readiness.register(
        "mysql",
        Effect.sync(() => ++asked > 0),
      )
      assert.isFalse(readiness.isDraining())
      yield* readiness.drain
      assert.isTrue(readiness.isDraining())
      assert.deepStrictEqual(yield* readiness.status, { ready: false, draining: true, checks: {} })
      assert.strictEqual(asked, 0)
    }).pipe(Effect.provide(Readiness.layer)),
  )
})
