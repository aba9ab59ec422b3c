/**
 * Goes on with cancels that were asked for and aren't finished: their process crashed, payment couldn't be reached, or
 * the provider is silent.
 */
import * as Sweep from "@floodgate/runtime/lifecycle/Sweep"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { CancelStore } from "../store/CancelStore.ts"
import { Canceller } from "./Canceller.ts"

const PAGE = 200
const MAX_PAGES = 50
const EVERY_MS = 1_000

/** How long after payment was last asked it is asked again, ms: longer than a cancel call takes, so that it isn't doubled. */
export const QUIET_MS = 5_000

/** One page of unfinished cancels; true where there may be more. Fails as its stores do. */
export const page = (quietMs: number) =>
  Effect.gen(function* () {
    const cancels = yield* CancelStore
    const canceller = yield* Canceller
    const unfinished = yield* cancels.claimUnfinished(PAGE, quietMs)
    if (unfinished.length === 0) return false
    const { unreachable } = yield* canceller.settle(unfinished)
    return unfinished.length === PAGE && !unreachable
  })

export const layer: Layer.Layer<never, never, CancelStore | Canceller> = Layer.scopedDiscard(
  Sweep.make({ name: "cancel sweep", everyMs: EVERY_MS, maxPages: MAX_PAGES, page: page(QUIET_MS) }),
)
