/**
 * Turns the requests of a rush into batches, one product a call: a round trip to inventory costs more than a hundred
 * reservations in it. The first request after a pause leaves at the end of the same turn of the event loop; while calls
 * are under way the next batch gathers until they are answered, for at most 2 ms or 128 items.
 *
 * An item, once taken, runs to its answer whether or not its client is still there. Every item is answered within its
 * time: what could not be sent before that is `notExecuted`, what was sent and not answered `unknown`.
 */
import * as GrpcClient from "@floodgate/contracts/rpc/GrpcClient"
import { InventoryClient } from "@floodgate/contracts/rpc/InventoryClient"
import { MAX_BATCH, ReserveCode } from "@floodgate/contracts/sale/ReserveCode"
import * as Instrument from "@floodgate/runtime/metrics/Instrument"
import * as TraceContext from "@floodgate/runtime/telemetry/TraceContext"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import { notExecuted, type ReserveOutcome, unknown } from "./ReserveAnswer.ts"
import * as SeckillMetrics from "./SeckillMetrics.ts"
import { ServerClock } from "./ServerClock.ts"
import { SoldOutMarks } from "./SoldOutMarks.ts"

/** How long a batch gathers while others are under way. */
export const MAX_WAIT_MS = 2
/** Calls under way for one product. More would only queue at its Redis. */
export const MAX_IN_FLIGHT = 8
/** Items of one product that wait for a call. */
export const MAX_PENDING = 2_048
/** Items of all products that wait. */
export const MAX_PENDING_IN_ALL = 16_384
/** How long a reservation may take, from the request on. */
export const ITEM_MS = 800
/** What inventory needs to tell that Redis didn't answer in that time. */
const ANSWER_MARGIN_MS = 150
/** Asking again is worth it only with this much time left. */
const MIN_RETRY_MS = 100
const MAX_ATTEMPTS = 3

export interface Item {
  readonly userId: number
  readonly quantity: number
  /** The same for every attempt, so that inventory does it once. */
  readonly requestId: string
  /** W3C, where the request's trace is recorded. */
  readonly traceparent: string | undefined
  /** Called once. Must not throw. */
  readonly answer: (outcome: ReserveOutcome) => void
}

export class Coalescer extends Context.Tag("@floodgate/edge/seckill/Coalescer")<
  Coalescer,
  {
    /** Takes an item, or answers it `notExecuted` at once where too many wait. */
    readonly submit: (productId: number, item: Item) => void
    /** Items that wait for a call now. */
    readonly pending: () => number
  }
>() {}

interface Waiting extends Item {
  /** By this process's clock, Unix ms. */
  readonly expiresMs: number
  attempts: number
}

interface Lane {
  readonly productId: number
  queue: Array<Waiting>
  inFlight: number
  /** The gathering under way, by number; 0 where there is none. */
  gathering: number
  /** A timer is set that answers what outlives its time while all calls are taken. */
  expiring: boolean
}

const endOfTurn = Effect.async<void>((resume) => {
  const handle = setImmediate(() => resume(Effect.void))
  return Effect.sync(() => clearImmediate(handle))
})

export const make = Effect.gen(function* () {
  const inventory = yield* InventoryClient
  const serverClock = yield* ServerClock
  const marks = yield* SoldOutMarks
  const clock = yield* Effect.clock
  const run = yield* FiberSet.makeRuntime<never>()
  const lanes = new Map<number, Lane>()
  let pendingInAll = 0
  let gatherings = 0

  yield* Instrument.observing(() => SeckillMetrics.pending.set({}, pendingInAll))

  const nowMs = () => clock.unsafeCurrentTimeMillis()

  const take = (lane: Lane): ReadonlyArray<Waiting> => {
    const batch = lane.queue.length <= MAX_BATCH ? lane.queue : lane.queue.slice(0, MAX_BATCH)
    lane.queue = batch.length === lane.queue.length ? [] : lane.queue.slice(MAX_BATCH)
    pendingInAll -= batch.length
    return batch
  }

  const dropExpired = (lane: Lane): void => {
    const at = nowMs()
    if (!lane.queue.some((item) => item.expiresMs <= at)) return
    const late = lane.queue.filter((item) => item.expiresMs <= at)
    lane.queue = lane.queue.filter((item) => item.expiresMs > at)
    pendingInAll -= late.length
    for (const item of late) item.answer(notExecuted)
  }

  const enqueue = (lane: Lane, item: Waiting): void => {
    lane.queue.push(item)
    pendingInAll++
    pump(lane)
  }

  /** Whether nothing was done, and there is time to ask again. */
  const mayRetry = (item: Waiting, code: number): boolean =>
    (code === ReserveCode.NOT_EXECUTED || code === ReserveCode.EXPIRED) &&
    item.attempts < MAX_ATTEMPTS &&
    item.expiresMs - nowMs() >= MIN_RETRY_MS

  // Spread, so that the crowd doesn't come back as one.
  const retryPause = Effect.flatMap(Random.nextIntBetween(20, 60), (ms) => Effect.sleep(ms))

  const settle = (
    lane: Lane,
    batch: ReadonlyArray<Waiting>,
    outcomeOf: (i: number) => ReserveOutcome,
  ): Effect.Effect<void> => {
    const again: Array<Waiting> = []
    batch.forEach((item, i) => {
      const outcome = outcomeOf(i)
      if (mayRetry(item, outcome.code)) again.push(item)
      else item.answer(outcome)
    })
    if (again.length === 0) return Effect.void
    return Effect.sync(() => {
      run(
        Effect.zipRight(
          retryPause,
          Effect.sync(() => {
            for (const item of again) enqueue(laneOf(lane.productId), item)
          }),
        ),
      )
    })
  }

  const call = (lane: Lane, batch: ReadonlyArray<Waiting>): Effect.Effect<void> => {
    const sentMs = nowMs()
    const serverNowMs = serverClock.nowMs()
    const notAfter: Array<bigint> = []
    const tracedItem: Array<number> = []
    const traceparent: Array<string> = []
    let lastMs = 0
    batch.forEach((item, i) => {
      item.attempts++
      const leftMs = item.expiresMs - sentMs
      notAfter.push(BigInt(serverNowMs + leftMs))
      lastMs = Math.max(lastMs, leftMs)
      if (item.traceparent !== undefined) {
        tracedItem.push(i)
        traceparent.push(item.traceparent)
      }
    })
    const request = inventory.reserveBatch(
      {
        productId: BigInt(lane.productId),
        userId: batch.map((item) => BigInt(item.userId)),
        quantity: batch.map((item) => item.quantity),
        requestId: batch.map((item) => item.requestId),
        notAfterMs: notAfter,
        tracedItem,
        traceparent,
      },
      { deadlineMs: lastMs + ANSWER_MARGIN_MS, span: tracedItem.length > 0 },
    )
    const answered = Effect.flatMap(request, (response) => {
      serverClock.learn(Number(response.serverTimeMs), sentMs, nowMs())
      marks.learn(lane.productId, Number(response.stock), Number(response.stockVersion))
      let boughtAt = 0
      return settle(lane, batch, (i) => {
        const code = response.code[i]
        if (code === undefined) return unknown
        const live = code === ReserveCode.ALREADY_BOUGHT ? response.liveOrderNums[boughtAt++] : undefined
        return {
          code,
          orderNum: response.orderNum[i] ?? "",
          detail: Number(response.detail[i] ?? 0n),
          liveOrderNums: live === undefined || live === "" ? notExecuted.liveOrderNums : live.split(","),
        }
      })
    })
    const safe = Effect.catchAllCause(answered, (cause) => {
      if (Cause.isInterruptedOnly(cause)) return Effect.void
      const failure = Option.getOrUndefined(Cause.failureOption(cause))
      if (GrpcClient.wasNotSent(failure)) {
        // The breaker is open: it will be for longer than it pays to keep the crowd waiting. What was sent before may
        // have been done.
        for (const item of batch) item.answer(item.attempts === 1 ? notExecuted : unknown)
        return Effect.void
      }
      // Perhaps it was done: asking again under the same request ids is safe, and the only way to know.
      const settled = settle(lane, batch, (i) =>
        failure?._tag === "Busy" && mayRetry(batch[i]!, ReserveCode.NOT_EXECUTED) ? notExecuted : unknown,
      )
      return failure?._tag === "Busy"
        ? settled
        : Effect.zipRight(Effect.logError("A batch of reservations failed", cause), settled)
    })
    if (tracedItem.length === 0) return safe
    // The batch belongs to all its requests: a child of the first recorded one, linked to the others.
    return safe.pipe(
      Effect.withSpan("Coalescer.batch", {
        captureStackTrace: false,
        links: TraceContext.links(traceparent.slice(1)),
        attributes: { product_id: lane.productId, items: batch.length },
      }),
      TraceContext.withParent(traceparent[0]),
    )
  }

  const launch = (lane: Lane): void => {
    dropExpired(lane)
    if (lane.queue.length === 0) return
    const batch = take(lane)
    lane.inFlight++
    SeckillMetrics.batchItems(batch.length)
    const startedAt = performance.now()
    run(
      Effect.ensuring(
        Effect.suspend(() => call(lane, batch)),
        Effect.sync(() => {
          lane.inFlight--
          SeckillMetrics.batchSeconds((performance.now() - startedAt) / 1_000)
          // Nothing to wait for any more: what has gathered meanwhile leaves now.
          if (lane.inFlight === 0) lane.gathering = 0
          pump(lane)
        }),
      ),
    )
  }

  const gather = (lane: Lane): Effect.Effect<void> => {
    const mine = ++gatherings
    lane.gathering = mine
    return Effect.zipRight(
      lane.inFlight === 0 ? endOfTurn : Effect.sleep(MAX_WAIT_MS),
      Effect.sync(() => {
        if (lane.gathering !== mine) return
        lane.gathering = 0
        if (lane.inFlight < MAX_IN_FLIGHT) launch(lane)
        pump(lane)
      }),
    )
  }

  const expire = (lane: Lane): Effect.Effect<void> =>
    Effect.zipRight(
      Effect.sleep(Math.max(1, lane.queue[0]!.expiresMs - nowMs())),
      Effect.sync(() => {
        lane.expiring = false
        dropExpired(lane)
        pump(lane)
      }),
    )

  const pump = (lane: Lane): void => {
    while (lane.queue.length >= MAX_BATCH && lane.inFlight < MAX_IN_FLIGHT) launch(lane)
    if (lane.queue.length === 0) {
      if (lane.inFlight === 0 && lane.gathering === 0) lanes.delete(lane.productId)
    } else if (lane.inFlight >= MAX_IN_FLIGHT) {
      if (!lane.expiring) {
        lane.expiring = true
        run(expire(lane))
      }
    } else if (lane.gathering === 0) {
      run(gather(lane))
    }
  }

  const laneOf = (productId: number): Lane => {
    let lane = lanes.get(productId)
    if (lane === undefined) {
      lane = { productId, queue: [], inFlight: 0, gathering: 0, expiring: false }
      lanes.set(productId, lane)
    }
    return lane
  }

  return Coalescer.of({
    submit: (productId, item) => {
      const lane = laneOf(productId)
      if (lane.queue.length >= MAX_PENDING || pendingInAll >= MAX_PENDING_IN_ALL) {
        SeckillMetrics.overflow(1)
        item.answer(notExecuted)
      } else {
        enqueue(lane, { ...item, expiresMs: nowMs() + ITEM_MS, attempts: 0 })
      }
    },
    pending: () => pendingInAll,
  })
})

export const layer = Layer.scoped(Coalescer, make)
