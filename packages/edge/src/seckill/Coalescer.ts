/**
 * Turns the requests of a rush into batches, one a product, and batches into calls: a round trip to inventory costs more
 * than a hundred reservations in it. The first request after a pause leaves at the end of the same turn of the event
 * loop; those behind it gather until the next departure, 4 ms after the last, or until there are 128 of a product.
 *
 * A call is answered when all its products are. One whose shard didn't answer is sent alone until it does again, so that
 * it holds up nobody else.
 *
 * An item, once taken, runs to its answer whether or not its client is still there. Every item is answered within its
 * time: what could not be sent before that is `notExecuted`, what was sent and not answered `unknown`.
 */
import { Busy } from "@floodgate/contracts/errors/Errors"
import type { ReserveBatchResponse } from "@floodgate/contracts/gen/floodgate/inventory/v1/inventory_pb"
import * as GrpcClient from "@floodgate/contracts/rpc/GrpcClient"
import { InventoryClient } from "@floodgate/contracts/rpc/InventoryClient"
import { MAX_BATCH, ReserveCode } from "@floodgate/contracts/sale/ReserveCode"
import * as Departures from "@floodgate/runtime/batching/Departures"
import { endOfTurn } from "@floodgate/runtime/batching/EndOfTurn"
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
import * as ReserveColumns from "./ReserveColumns.ts"
import * as SeckillMetrics from "./SeckillMetrics.ts"
import { ServerClock } from "./ServerClock.ts"
import { SoldOutMarks } from "./SoldOutMarks.ts"

/**
 * Time between departures. A call costs edge, inventory and Redis more than what it carries: without this, each of the
 * few hundred a second that a limit lets through in a flood would make a call of its own.
 */
export const GATHER_MS = 4
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
/** Products that are sent alone. */
const MAX_ALONE = 10_000
/** How long all are sent alone to an inventory of an older release, which knows no other way. */
const APART_MS = 10_000

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
  /** An attempt got no answer: it may have been done. */
  unsure: boolean
}

interface Lane {
  readonly productId: number
  queue: Array<Waiting>
  inFlight: number
  /** It waits for the next departure. */
  ready: boolean
  /** A timer is set that answers what outlives its time while all calls are taken. */
  expiring: boolean
}

/** What one call takes along of a lane. */
interface Batch {
  readonly lane: Lane
  readonly items: ReadonlyArray<Waiting>
}

/** Answers of an attempt that got as far as its request id not at all: they say nothing of the attempts before. */
const OF_THIS_ATTEMPT: ReadonlySet<number> = new Set([
  ReserveCode.NOT_EXECUTED,
  ReserveCode.EXPIRED,
  ReserveCode.FENCED,
])

export const make = Effect.gen(function* () {
  const inventory = yield* InventoryClient
  const serverClock = yield* ServerClock
  const marks = yield* SoldOutMarks
  const clock = yield* Effect.clock
  const run = yield* FiberSet.makeRuntime<never>()
  const lanes = new Map<number, Lane>()
  let pendingInAll = 0
  /** Lanes that leave together next. */
  let ready: Array<Lane> = []
  const departure = Departures.make(GATHER_MS)
  let gathering = false
  /** Products whose shard didn't answer when they were asked for last. */
  const alone = new Set<number>()
  /** Until then every product goes alone, Unix ms. */
  let apartUntilMs = 0

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

  const settle = ({ items, lane }: Batch, outcomeOf: (i: number) => ReserveOutcome): void => {
    const again: Array<Waiting> = []
    items.forEach((item, i) => {
      const outcome = outcomeOf(i)
      if (mayRetry(item, outcome.code)) again.push(item)
      else item.answer(item.unsure && OF_THIS_ATTEMPT.has(outcome.code) ? unknown : outcome)
    })
    if (again.length === 0) return
    run(
      Effect.zipRight(
        retryPause,
        Effect.sync(() => {
          for (const item of again) enqueue(laneOf(lane.productId), item)
        }),
      ),
    )
  }

  /** Whether the product goes alone from now on. */
  const remember = (productId: number, outcomes: ReadonlyArray<ReserveOutcome>): void => {
    const silent = outcomes.every(
      ({ code }) => code === ReserveCode.UNKNOWN || code === ReserveCode.NOT_EXECUTED,
    )
    if (!silent) alone.delete(productId)
    else if (alone.size < MAX_ALONE) alone.add(productId)
  }

  const answer = (batch: Batch, response: ReserveBatchResponse | undefined): void => {
    const { productId } = batch.lane
    if (response !== undefined) marks.learn(productId, Number(response.stock), Number(response.stockVersion))
    const outcomes = ReserveColumns.decode(response, batch.items.length)
    remember(productId, outcomes)
    settle(batch, (i) => outcomes[i]!)
  }

  const ask = (
    batches: ReadonlyArray<Batch>,
    options: GrpcClient.CallOptions,
    aheadMs: number,
  ): Effect.Effect<ReadonlyArray<ReserveBatchResponse>, unknown> => {
    const requests = batches.map(({ items, lane }) => ReserveColumns.encode(lane.productId, items, aheadMs))
    return requests.length === 1
      ? Effect.map(inventory.reserveBatch(requests[0]!, options), (response) => [response])
      : Effect.map(inventory.reserveBatches({ batches: requests }, options), (response) => response.batches)
  }

  const call = (batches: ReadonlyArray<Batch>): Effect.Effect<void> => {
    const sentMs = nowMs()
    const traceparents: Array<string> = []
    let lastMs = 0
    let count = 0
    for (const { items } of batches) {
      count += items.length
      for (const item of items) {
        item.attempts++
        lastMs = Math.max(lastMs, item.expiresMs - sentMs)
        if (item.traceparent !== undefined) traceparents.push(item.traceparent)
      }
    }
    const request = ask(
      batches,
      { deadlineMs: lastMs + ANSWER_MARGIN_MS, span: traceparents.length > 0 },
      serverClock.nowMs() - sentMs,
    )
    const answered = Effect.map(request, (responses) => {
      const told = responses.find((response) => response.serverTimeMs > 0n)
      if (told !== undefined) serverClock.learn(Number(told.serverTimeMs), sentMs, nowMs())
      for (const [i, batch] of batches.entries()) answer(batch, responses[i])
    })
    const safe = Effect.catchAllCause(answered, (cause) => {
      if (Cause.isInterruptedOnly(cause)) return Effect.void
      const failure = Option.getOrUndefined(Cause.failureOption(cause))
      if (GrpcClient.wasNotSent(failure)) {
        // The breaker is open: it will be for longer than it pays to keep the crowd waiting.
        for (const { items } of batches)
          for (const item of items) item.answer(item.unsure ? unknown : notExecuted)
        return Effect.void
      }
      if (GrpcClient.isUnimplemented(failure)) {
        apartUntilMs = nowMs() + APART_MS
        for (const batch of batches) settle(batch, () => notExecuted)
        return Effect.void
      }
      // Perhaps it was done: asking again under the same request ids is safe, and the only way to know.
      const busy = failure instanceof Busy
      for (const batch of batches) {
        for (const item of batch.items) item.unsure = true
        settle(batch, () => (busy ? notExecuted : unknown))
      }
      return busy ? Effect.void : Effect.logError("A call with reservations failed", cause)
    })
    if (traceparents.length === 0) return safe
    // The call belongs to all its requests: a child of the first recorded one, linked to the others.
    return safe.pipe(
      Effect.withSpan("Coalescer.batch", {
        captureStackTrace: false,
        links: TraceContext.links(traceparents.slice(1)),
        attributes: { product_id: batches.map(({ lane }) => lane.productId).join(","), items: count },
      }),
      TraceContext.withParent(traceparents[0]),
    )
  }

  const launch = (batches: ReadonlyArray<Batch>): void => {
    let count = 0
    for (const { items, lane } of batches) {
      lane.inFlight++
      count += items.length
    }
    SeckillMetrics.batchItems(count)
    const startedAt = performance.now()
    run(
      Effect.ensuring(
        Effect.suspend(() => call(batches)),
        Effect.sync(() => {
          SeckillMetrics.batchSeconds((performance.now() - startedAt) / 1_000)
          for (const { lane } of batches) lane.inFlight--
          for (const { lane } of batches) pump(lane)
        }),
      ),
    )
  }

  /** All that is ready, in as few calls as carry it. */
  const depart = (): void => {
    const lanes = ready
    ready = []
    let batches: Array<Batch> = []
    let count = 0
    for (const lane of lanes) {
      lane.ready = false
      dropExpired(lane)
      if (lane.queue.length === 0 || lane.inFlight >= MAX_IN_FLIGHT) continue
      const batch = { lane, items: take(lane) }
      if (alone.has(lane.productId) || nowMs() < apartUntilMs) {
        launch([batch])
        continue
      }
      if (count > 0 && count + batch.items.length > MAX_BATCH) {
        launch(batches)
        batches = []
        count = 0
      }
      batches.push(batch)
      count += batch.items.length
    }
    if (count > 0) launch(batches)
    for (const lane of lanes) pump(lane)
  }

  const gather = (): void => {
    gathering = true
    run(
      Effect.zipRight(
        Effect.zipRight(departure, endOfTurn),
        Effect.sync(() => {
          gathering = false
          depart()
        }),
      ),
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
    while (lane.queue.length >= MAX_BATCH && lane.inFlight < MAX_IN_FLIGHT) {
      dropExpired(lane)
      if (lane.queue.length > 0) launch([{ lane, items: take(lane) }])
    }
    if (lane.queue.length === 0) {
      if (lane.inFlight === 0 && !lane.ready) lanes.delete(lane.productId)
    } else if (lane.inFlight >= MAX_IN_FLIGHT) {
      if (!lane.expiring) {
        lane.expiring = true
        run(expire(lane))
      }
    } else if (!lane.ready) {
      lane.ready = true
      ready.push(lane)
      if (!gathering) gather()
    }
  }

  const laneOf = (productId: number): Lane => {
    let lane = lanes.get(productId)
    if (lane === undefined) {
      lane = { productId, queue: [], inFlight: 0, ready: false, expiring: false }
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
        enqueue(lane, { ...item, expiresMs: nowMs() + ITEM_MS, attempts: 0, unsure: false })
      }
    },
    pending: () => pendingInAll,
  })
})

export const layer = Layer.scoped(Coalescer, make)
