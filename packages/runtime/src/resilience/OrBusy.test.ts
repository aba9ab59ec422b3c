import { assert, describe, it } from "@effect/vitest"
import { NotFound } from "@floodgate/contracts/errors/Errors"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { MysqlConflict, MysqlDuplicateKey, MysqlUnavailable } from "../mysql/MysqlError.ts"
import { orBusy } from "./OrBusy.ts"

describe("orBusy", () => {
  it.effect("MySQL down or in conflict is the caller's try again", () =>
    Effect.gen(function* () {
      for (const error of [
        new MysqlUnavailable({ op: "test", outcomeUnknown: true }),
        new MysqlConflict({ op: "test", errno: 1213 }),
      ]) {
        const busy = yield* orBusy(Effect.fail(error)).pipe(Effect.flip)
        assert.strictEqual(busy._tag, "Busy")
        assert.isAbove(busy.retry_after_ms ?? 0, 0)
      }
    }),
  )

  it.effect("a typed answer passes as it is, and so does a value", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* orBusy(Effect.fail(new NotFound())).pipe(Effect.flip))._tag, "NotFound")
      assert.strictEqual(yield* orBusy(Effect.succeed(7)), 7)
    }),
  )

  it.effect("a duplicate key that nobody expected is a defect, not an answer", () =>
    Effect.gen(function* () {
      const exit = yield* orBusy(Effect.fail(new MysqlDuplicateKey({ op: "test", key: "k" }))).pipe(
        Effect.exit,
      )
      assert.isTrue(Exit.isFailure(exit) && Cause.isDie(exit.cause))
    }),
  )
})
