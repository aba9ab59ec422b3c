/**
 * Cancels orders that stayed unpaid past their time by MySQL's clock. The timers in Redis find most of them first; this
 * is the net below them. Several instances share the work: each marks the orders it takes. What a crash leaves behind
 * is the cancel sweep's.
 */
import * as Sweep from "@floodgate/runtime/lifecycle/Sweep"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { CancelStore } from "../store/CancelStore.ts"
import { Canceller } from "./Canceller.ts"

const PAGE = 200
const MAX_PAGES = 100
const EVERY_MS = 3_000

/** One page of orders past their time; true where there may be more. Fails as its stores do. */
export const page = Effect.gen(function* () {
  const cancels = yield* CancelStore
  const canceller = yield* Canceller
  const expired = yield* cancels.requestExpired(PAGE)
  if (expired.length === 0) return false
  const { unreachable } = yield* canceller.settle(expired)
  return expired.length === PAGE && !unreachable
})

export const layer: Layer.Layer<never, never, CancelStore | Canceller> = Layer.scopedDiscard(
  Sweep.make({
    name: "time-out sweep",
    everyMs: EVERY_MS,
    maxPages: MAX_PAGES,
    page: Effect.suspend(() => page),
  }),
)
