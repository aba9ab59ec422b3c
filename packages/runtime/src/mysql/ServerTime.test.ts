import { assert, describe, it, layer } from "@effect/vitest"
import * as ServiceCredential from "@floodgate/contracts/rpc/ServiceCredential"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Readiness from "../lifecycle/Readiness.ts"
import * as TestMysql from "../testing/TestMysql.ts"
import * as Mysql from "./Mysql.ts"
import { make, ServerTime, TOLERATED_MS } from "./ServerTime.ts"

const WRONG_MS = 600_000

describe("ServerTime", () => {
  it("is this process's clock until an answer says otherwise, and while it is about right", () => {
    const time = make(() => 1_000_000)
    assert.strictEqual(time.nowMs(), 1_000_000)
    time.learn(1_000_000 + TOLERATED_MS, 1_000_000, 1_000_000)
    assert.strictEqual(time.offsetMs(), 0)
  })

  it("is MySQL's where the clock is wrong, and the clock's again when somebody has set it", () => {
    let localMs = 1_000_000
    const time = make(() => localMs)
    time.learn(1_000_000 + WRONG_MS + 20, 1_000_000, 1_000_040)
    assert.strictEqual(time.nowMs(), 1_000_000 + WRONG_MS)
    localMs += WRONG_MS
    time.learn(localMs, localMs, localMs)
    assert.strictEqual(time.nowMs(), localMs)
  })

  it("learns nothing from answers that took long, or that came before they were asked for", () => {
    const time = make(() => 1_000_000)
    time.learn(1_000_000 + WRONG_MS, 1_000_000, 1_002_001)
    time.learn(1_000_000 + WRONG_MS, 1_000_000, 999_999)
    assert.strictEqual(time.offsetMs(), 0)
  })

  it("lets services whose clocks are 10 min apart believe each other, as their own clocks wouldn't", () => {
    const keys = [Redacted.make("a-service-key-that-only-tests-know")]
    for (const wrongMs of [-WRONG_MS, WRONG_MS]) {
      const local = () => Date.now() + wrongMs
      const time = make(local)
      const wrong = (nowMs: () => number) => ServiceCredential.make({ service: "edge", keys, nowMs })
      const right = ServiceCredential.make({ service: "identity", keys })
      // Who is behind is refused, who is ahead refuses.
      const [signs, verifies] = wrongMs < 0 ? [wrong(local), right] : [right, wrong(local)]
      assert.isUndefined(verifies.verifyAuthorization(signs.authorization()))
      time.learn(Date.now(), local(), local())
      const mended = wrong(time.nowMs)
      assert.strictEqual(right.verifyAuthorization(mended.authorization()), "edge")
      assert.strictEqual(mended.verifyAuthorization(right.authorization()), "identity")
    }
  })
})

layer(TestMysql.databases({ migrations: [], main: "main" }), {
  timeout: "60 seconds",
  excludeTestServices: true,
})("a pool", (it) => {
  it.scoped("tells a process with a wrong clock the time before anybody uses it", () =>
    Effect.gen(function* () {
      const databases = yield* TestMysql.TestDatabases
      const right = yield* Effect.clock
      const wrong = new Proxy(right, {
        get: (target, property) => {
          if (property === "unsafeCurrentTimeMillis") return () => target.unsafeCurrentTimeMillis() - WRONG_MS
          if (property === "currentTimeMillis")
            return Effect.map(target.currentTimeMillis, (ms) => ms - WRONG_MS)
          const value: unknown = Reflect.get(target, property)
          return typeof value === "function" ? value.bind(target) : value
        },
      })
      const time = make(() => wrong.unsafeCurrentTimeMillis())
      yield* Layer.build(
        Mysql.layer({ url: Config.succeed(databases.url("main")) }).pipe(Layer.provide(Readiness.layer)),
      ).pipe(Effect.withClock(wrong), Effect.provideService(ServerTime, time))
      assert.closeTo(time.nowMs(), Date.now(), TOLERATED_MS)
    }),
  )
})
