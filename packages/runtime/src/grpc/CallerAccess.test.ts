import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as CallerAccess from "./CallerAccess.ts"

const called = (user_id: number, ...roles: ReadonlyArray<string>) => ({
  caller: { user_id, username: "someone", roles },
})
const nobody = { caller: undefined }

describe("what a user may do, at the service", () => {
  it.effect("takes the permission that the method asks for, whatever the edge let through", () =>
    Effect.gen(function* () {
      const ask = (context: Parameters<typeof CallerAccess.requirePermission>[0]) =>
        CallerAccess.requirePermission(context, "product:write").pipe(Effect.isSuccess)
      assert.isTrue(yield* ask(called(1, "customer", "operator")))
      assert.isTrue(yield* ask(nobody))
      assert.isFalse(yield* ask(called(1, "customer", "finance")))
      assert.isFalse(yield* ask(called(1)))
    }),
  )

  it.effect("is about oneself, and what isn't one's own isn't there", () =>
    Effect.gen(function* () {
      const ask = (context: Parameters<typeof CallerAccess.requireSelf>[0], userId: bigint) =>
        CallerAccess.requireSelf(context, userId, "order:read").pipe(Effect.isSuccess)
      assert.isTrue(yield* ask(called(7, "customer"), 7n))
      assert.isFalse(yield* ask(called(7, "customer"), 8n))
      assert.isFalse(yield* ask(called(7, "customer"), 0n))
      assert.isTrue(yield* ask(called(7, "operator"), 8n))
      assert.isTrue(yield* ask(nobody, 0n))
    }),
  )
})
