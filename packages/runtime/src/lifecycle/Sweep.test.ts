import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Ref from "effect/Ref"
import * as TestClock from "effect/TestClock"
import * as Sweep from "./Sweep.ts"

const EVERY_MS = 1_000

/** A sweep over so many pages of work, which counts the pages it looked at. */
const over = (pagesOfWork: number, maxPages = 10) =>
  Effect.gen(function* () {
    const left = yield* Ref.make(pagesOfWork)
    const looked = yield* Ref.make(0)
    const sweep = yield* Sweep.make({
      name: "a test's sweep",
      everyMs: EVERY_MS,
      maxPages,
      page: Effect.zipRight(
        Ref.update(looked, (n) => n + 1),
        Ref.modify(left, (n) => [n > 1, Math.max(0, n - 1)]),
      ),
    })
    yield* Effect.yieldNow()
    return { ...sweep, looked: Ref.get(looked), left }
  })

describe("a sweep", () => {
  it.scoped("goes on page by page while there is work, then pauses", () =>
    Effect.gen(function* () {
      const sweep = yield* over(3)
      yield* TestClock.adjust(0)
      assert.strictEqual(yield* sweep.looked, 3)
      yield* TestClock.adjust(EVERY_MS - 1)
      assert.strictEqual(yield* sweep.looked, 3)
      yield* TestClock.adjust(1)
      assert.strictEqual(yield* sweep.looked, 4)
    }),
  )

  it.scoped("looks at no more pages in a round than its bound", () =>
    Effect.gen(function* () {
      const sweep = yield* over(100, 5)
      yield* TestClock.adjust(0)
      assert.strictEqual(yield* sweep.looked, 5)
    }),
  )

  it.scoped("begins the next round at once when nudged", () =>
    Effect.gen(function* () {
      const sweep = yield* over(1)
      yield* TestClock.adjust(0)
      assert.strictEqual(yield* sweep.looked, 1)
      yield* sweep.nudge
      yield* TestClock.adjust(0)
      assert.strictEqual(yield* sweep.looked, 2)
    }),
  )

  it.scoped("is not ended by a round that fails, or dies", () =>
    Effect.gen(function* () {
      const rounds = yield* Ref.make(0)
      yield* Sweep.make({
        name: "a test's sweep",
        everyMs: EVERY_MS,
        maxPages: 1,
        page: Ref.updateAndGet(rounds, (n) => n + 1).pipe(
          Effect.flatMap((n) =>
            n === 1 ? Effect.fail("no engine") : n === 2 ? Effect.die("a defect") : Effect.succeed(false),
          ),
        ),
      })
      yield* TestClock.adjust(0)
      yield* TestClock.adjust(EVERY_MS)
      yield* TestClock.adjust(EVERY_MS)
      assert.strictEqual(yield* Ref.get(rounds), 3)
    }),
  )
})
