/** Cancels orders as soon as their timers go off. The time-out sweep does the same without Redis, a little later. */
import * as Sweep from "@floodgate/runtime/lifecycle/Sweep"
import { retryConflicts } from "@floodgate/runtime/mysql/Mysql"
import type { RedisError } from "@floodgate/runtime/redis/RedisError"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { CancelStore } from "../store/CancelStore.ts"
import { Canceller } from "../workers/Canceller.ts"
import { Timers } from "./Timers.ts"

const EVERY_MS = 500
const MAX_PAGES = 20
/** Timers of one round fit one statement. */
const PAGE = 500

/** One round of timers that went off; true where more may have. Fails as its stores do. */
export const page = Effect.gen(function* () {
  const timers = yield* Timers
  const cancels = yield* CancelStore
  const canceller = yield* Canceller
  const rung = yield* timers.claim
  let unreachable = false
  for (let from = 0; from < rung.length; from += PAGE) {
    const part = rung.slice(from, from + PAGE)
    const { busy, early, requested } = yield* retryConflicts(cancels.requestExpiredOf(part))
    // Marked in MySQL: from here on the cancel sweep finishes what a crash leaves.
    const kept = new Set([...busy, ...early.map(({ order_num }) => order_num)])
    const tidied = yield* Effect.exit(
      Effect.zipRight(timers.done(part.filter((orderNum) => !kept.has(orderNum))), timers.putOff(early)),
    )
    if (requested.length > 0) {
      const settled = yield* canceller.settle(requested)
      unreachable ||= settled.unreachable
    }
    yield* tidied
  }
  return rung.length > 0 && !unreachable
})

/** `page`, which says once that Redis is away, not twice a second. */
const quietPage = Effect.sync(() => {
  let away = false
  const tell = (error: RedisError): Effect.Effect<boolean> =>
    Effect.suspend(() => {
      const first = !away
      away = true
      return Effect.as(
        first ? Effect.logWarning("timers could not be read; the sweep does their work", error) : Effect.void,
        false,
      )
    })
  return page.pipe(
    Effect.tap(() =>
      Effect.sync(() => {
        away = false
      }),
    ),
    Effect.catchTags({ RedisUnavailable: tell, RedisOutcomeUnknown: tell, RedisScriptFailed: tell }),
  )
})

export const layer: Layer.Layer<never, never, Timers | CancelStore | Canceller> = Layer.scopedDiscard(
  Effect.flatMap(quietPage, (round) =>
    Sweep.make({ name: "time-out timers", everyMs: EVERY_MS, maxPages: MAX_PAGES, page: round }),
  ),
)
