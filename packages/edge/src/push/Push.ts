/** Everything that runs for event streams: the journal is read, stock is looked at, hearts beat, the banned are let go. */
import { ServerTime } from "@floodgate/runtime/mysql/ServerTime"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import { Revocations } from "../auth/Revocations.ts"
import { ProductCache } from "../products/ProductCache.ts"
import { WaitingRoom } from "../queue/WaitingRoom.ts"
import { ServerClock } from "../seckill/ServerClock.ts"
import { Hub } from "./Hub.ts"
import { Journal, PAGE, type Read } from "./Journal.ts"
import * as PushMetrics from "./PushMetrics.ts"
import * as QueueFeed from "./QueueFeed.ts"
import * as StockFeed from "./StockFeed.ts"

/** How late a change may be told (ms), beside the bus's own time. */
const POLL_MS = 100
/** After the journal couldn't be read (ms). */
const RETRY_MS = 1_000
export const HEARTBEAT_MS = 15_000
/** How soon a ban or an expired token ends a stream (ms). */
const DISMISS_MS = 500

export class Push extends Context.Tag("@floodgate/edge/push/Push")<Push, { readonly hub: Hub }>() {}

/** Reads the journal to its end, and from there on. */
const follow = (hub: Hub) =>
  Effect.gen(function* () {
    const journal = yield* Journal
    let last: { readonly id: string; readonly number: number } | undefined
    let begun = false
    let failing = false

    const take = (read: Read): void => {
      if (last !== undefined && read.number !== last.number + 1) hub.gap(last.id)
      last = read
      if (read.entry === undefined) return
      if ("orders" in read.entry) {
        hub.orders(
          read.id,
          read.entry.orders.map(([userId, orderNum, state, version, updatedAt]) => ({
            userId,
            orderNum,
            state,
            version,
            updatedAt,
          })),
        )
      } else hub.subscribe(read.entry.stream_id, read.entry.topics)
    }

    const begin = Effect.map(journal.all, (entries) => {
      const [first] = entries
      // An entry that isn't the first ever has predecessors that are gone: from before it nobody can go on.
      hub.begin(first === undefined || first.number === 1 ? "0-0" : first.id)
      for (const read of entries) take(read)
    })

    const round = Effect.gen(function* () {
      if (!begun) {
        yield* begin
        begun = true
      }
      for (;;) {
        const page = yield* journal.after(last?.id ?? "0-0")
        for (const read of page) take(read)
        if (page.length < PAGE) break
      }
      if (failing) {
        failing = false
        yield* Effect.logInfo("the journal of event streams can be read again")
      }
    }).pipe(
      Effect.as(POLL_MS),
      Effect.catchAllCause((cause) => {
        if (Cause.isInterruptedOnly(cause)) return Effect.failCause(cause as Cause.Cause<never>)
        if (failing) return Effect.succeed(RETRY_MS)
        failing = true
        return Effect.as(
          Effect.logWarning(
            "the journal of event streams can't be read; streams are silent meanwhile",
            cause,
          ),
          RETRY_MS,
        )
      }),
      Effect.withTracerEnabled(false),
    )
    return yield* Effect.forever(Effect.flatMap(round, (pauseMs) => Effect.sleep(pauseMs)))
  })

/** Does something again and again; one failure doesn't end it. */
const every = <R>(name: string, ms: number, work: Effect.Effect<void, never, R>) =>
  work.pipe(
    Effect.catchAllCause((cause) =>
      Cause.isInterruptedOnly(cause)
        ? Effect.failCause(cause as Cause.Cause<never>)
        : Effect.logError(`${name} failed`, cause),
    ),
    Effect.withTracerEnabled(false),
    Effect.repeat(Schedule.spaced(ms)),
    Effect.forkScoped,
  )

export const make = Effect.gen(function* () {
  const cache = yield* ProductCache
  const revocations = yield* Revocations
  const room = yield* WaitingRoom
  const serverClock = yield* ServerClock
  const clock = yield* Effect.clock
  const serverTime = yield* ServerTime
  const hub = new Hub()
  yield* PushMetrics.observe(hub)

  yield* Effect.forkScoped(follow(hub))
  yield* every("telling stock", StockFeed.EVERY_MS, StockFeed.make(hub, cache))
  yield* every(
    "telling places in waiting rooms",
    QueueFeed.EVERY_MS,
    QueueFeed.make(hub, room, () => clock.unsafeCurrentTimeMillis()),
  )
  yield* every(
    "the heartbeat of event streams",
    HEARTBEAT_MS,
    Effect.sync(() => hub.heartbeat(serverClock.nowMs())),
  )
  yield* every(
    "letting go of event streams",
    DISMISS_MS,
    Effect.sync(() => {
      const nowMs = clock.unsafeCurrentTimeMillis() + serverTime.offsetMs()
      hub.dismiss(({ expiresMs, issuedMs, userId }) => {
        const verdict = revocations.check(userId, issuedMs)
        if (verdict === "banned") return 701
        return verdict === "revoked" || expiresMs <= nowMs ? 401 : undefined
      })
    }),
  )
  yield* Effect.addFinalizer(() => Effect.sync(() => hub.endAll()))
  return Push.of({ hub })
})

export const layer = Layer.scoped(Push, make)
