/** Forgets the idempotency keys of publishing after their 24 hours. */
import * as Sweep from "@floodgate/runtime/lifecycle/Sweep"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { ProductStore } from "../store/ProductStore.ts"

const EVERY_MS = 600_000

/** Rows of one statement. */
const PAGE = 500

export const layer = Layer.scopedDiscard(
  Effect.gen(function* () {
    const store = yield* ProductStore
    yield* Sweep.make({
      name: "keys of publishing",
      everyMs: EVERY_MS,
      maxPages: 20,
      page: store.forgetKeys(PAGE),
    })
  }),
)
