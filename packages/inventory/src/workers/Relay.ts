/**
 * Moves the shards' streams to the event bus. The stream is the list of open reservations: an entry is produced as soon
 * as it is there, and stays until its outcome is in MySQL. What is produced twice, by two relays, after a crash, or
 * because no outcome came, the order worker absorbs.
 *
 * Each shard is relayed by the process that holds its lease. Shards are found by the hints of this process's own
 * reservations, and by looking at all of them every few seconds. Each has fibers of its own, so that one whose Redis
 * hangs holds up no other; what costs by the call is shared: shards leave together, in one publish, and ask for outcomes
 * together.
 */
import { randomUUID } from "node:crypto"
import { partitions, Topic } from "@floodgate/contracts/events/Topic"
import { OrderingClient } from "@floodgate/contracts/rpc/OrderingClient"
import * as Departures from "@floodgate/runtime/batching/Departures"
import * as Joined from "@floodgate/runtime/batching/Joined"
import { EventBus, type OutgoingMessage } from "@floodgate/runtime/event-bus/EventBus"
import * as CrashPoint from "@floodgate/runtime/lifecycle/CrashPoint"
import { Redis } from "@floodgate/runtime/redis/Redis"
import type { RedisError } from "@floodgate/runtime/redis/RedisError"
import * as Shards from "@floodgate/runtime/redis/Shards"
import * as BatchSpans from "@floodgate/runtime/telemetry/BatchSpans"
import * as TraceContext from "@floodgate/runtime/telemetry/TraceContext"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as FiberMap from "effect/FiberMap"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as StreamEntry from "../domain/StreamEntry.ts"
import * as SaleScripts from "../store/SaleScripts.ts"
import * as ShardKeys from "../store/ShardKeys.ts"
import { ShardSignals } from "../store/ShardSignals.ts"
import { RelayHooks } from "./RelayHooks.ts"
import * as RelayMetrics from "./RelayMetrics.ts"
import * as Trouble from "./Trouble.ts"

/** The relay's times, in ms. */
export interface RelayTimes {
  /** A lease that isn't renewed runs out after this; a third of it is the pace of renewal. */
  readonly lease: number
  /** How often a stream is read without a hint: what other processes reserve is seen within this. */
  readonly poll: number
  /**
   * How long entries of all shards gather behind a departure: everything after it, down to the transaction that makes
   * orders, costs by the batch. Whoever comes after a pause doesn't wait, nor does a shard with more than a batch.
   */
  readonly gather: number
  /** How often all shards are looked at. */
  readonly scan: number
  /** How often outcomes are asked for. */
  readonly sweep: number
  /** An entry without an outcome is produced again after this, and then after twice as long each time, up to 8 times. */
  readonly again: number
  /** A shard whose stream stayed empty for this long is let go. */
  readonly idle: number
}

export const defaultTimes: RelayTimes = {
  lease: 5_000,
  poll: 100,
  gather: 75,
  scan: 2_000,
  sweep: 1_000,
  again: 30_000,
  idle: 30_000,
}

/** Entries read, produced, or asked for at once. */
const BATCH = 500

/** Shared publishes under way at once, and questions for outcomes: what comes meanwhile goes together. */
const AT_ONCE = 1

/** Shards ask for outcomes at this many moments of each `sweep`, together with the others of theirs. */
const SWEEP_PHASES = 4

/** Pause after a failure, doubling from the first to the second (ms). */
const BACKOFF_MS = [100, 1_000] as const

const ALL = Array.from({ length: Shards.SHARDS }, (_, shard) => shard)

type Row = readonly [id: string, fields: ReadonlyArray<string>]

/**
 * The message of an entry, which goes on under `traceparent`. One product stays on one partition, as the order worker
 * locks its row.
 */
export const messageOf = (
  shard: number,
  entry: StreamEntry.StreamEntry,
  traceparent: string | undefined = entry.event.traceparent,
): OutgoingMessage => ({
  key: entry.order_num,
  value: JSON.stringify(traceparent === undefined ? entry.event : { ...entry.event, traceparent }),
  partition: Shards.partitionOf(shard, partitions[Topic.Reservations]),
  ...(traceparent === undefined ? {} : { headers: { traceparent } }),
})

/** The entries of rows; rows that the script never wrote are logged and left where they are. */
export const entriesOf = (
  shard: number,
  rows: ReadonlyArray<Row>,
): Effect.Effect<ReadonlyArray<StreamEntry.StreamEntry>> =>
  Effect.suspend(() => {
    const entries: Array<StreamEntry.StreamEntry> = []
    const strange: Array<string> = []
    for (const [id, fields] of rows) {
      const entry = StreamEntry.decode(id, fields[1] ?? "")
      if (entry === undefined) strange.push(id)
      else entries.push(entry)
    }
    return strange.length === 0
      ? Effect.succeed(entries)
      : Effect.as(
          Effect.annotateLogs(Effect.logError("the stream holds entries that no reservation wrote"), {
            shard,
            ids: strange.slice(0, 10).join(","),
          }),
          entries,
        )
  })

/** Where a click is recorded, the log says under its trace that the reservation went on; others cost nothing. */
const tellSent = ({ event, order_num }: StreamEntry.StreamEntry): Effect.Effect<void> =>
  event.traceparent === undefined
    ? Effect.void
    : Effect.logInfo("reservation sent").pipe(
        Effect.annotateLogs({ order_num, user_id: event.user_id, product_id: event.product_id }),
        TraceContext.withParent(event.traceparent),
      )

const make = (times: RelayTimes) =>
  Effect.gen(function* () {
    const redis = yield* Redis
    const bus = yield* EventBus
    const ordering = yield* OrderingClient
    const signals = yield* ShardSignals
    const hooks = yield* RelayHooks
    const token = randomUUID()
    const context = yield* Effect.context<Redis>()

    const busTrouble = Trouble.make("producing reservations")
    const redisTrouble = Trouble.make("reading the shards' streams")
    const outcomeTrouble = Trouble.make("asking ordering for outcomes")

    /** How often the bus began another life, as far as this process saw: what it had been given may be gone. */
    let lives = 0

    const lease = (shard: number, ms: number): Effect.Effect<boolean, RedisError> =>
      SaleScripts.lease.run([ShardKeys.relayLease(shard)], [token, ms]).pipe(
        Effect.provide(context),
        Effect.map((reply) => reply === 1),
      )

    const awaitDeparture = Departures.make(times.gather)

    const publish = yield* Joined.make({
      atOnce: AT_ONCE,
      most: BATCH,
      sizeOf: (messages: ReadonlyArray<OutgoingMessage>) => messages.length,
      // What a partition without a leader holds up.
      keyOf: (messages) => messages[0]!.partition!,
      call: (asks) => bus.publish(Topic.Reservations, asks.flat()),
    })

    const outcomesOf = yield* Joined.make({
      atOnce: AT_ONCE,
      most: BATCH,
      sizeOf: (ask: { readonly shard: number; readonly entries: ReadonlyArray<StreamEntry.StreamEntry> }) =>
        ask.entries.length,
      keyOf: (ask) => ask.shard,
      call: (asks) => {
        const entries = asks.flatMap((ask) => ask.entries)
        return Effect.map(
          ordering.batchGetOutcomes({
            orderNums: entries.map((entry) => entry.order_num),
            userIds: entries.map((entry) => BigInt(entry.event.user_id)),
          }),
          ({ decided, held }) => ({ decided: new Set(decided), held: new Set(held) }),
        )
      },
    })

    const range = (shard: number, from: string, to: string): Effect.Effect<ReadonlyArray<Row>, RedisError> =>
      redis.run("relay.read", (c) => c.xrange(ShardKeys.stream(shard), from, to, "COUNT", BATCH))

    const produce = (shard: number, entries: ReadonlyArray<StreamEntry.StreamEntry>) =>
      entries.length === 0
        ? Effect.void
        : BatchSpans.around(
            `send ${Topic.Reservations}`,
            {
              kind: "producer",
              attributes: {
                "messaging.operation.type": "send",
                "messaging.destination.name": Topic.Reservations,
              },
            },
            entries.map((entry) => entry.event.traceparent),
            (traceparents) => publish(entries.map((entry, i) => messageOf(shard, entry, traceparents[i]))),
          ).pipe(
            Effect.tapError(busTrouble.failed),
            Effect.tap(() => busTrouble.worked),
            Effect.tap(() => hooks.published(shard)),
            Effect.tap(() => Effect.forEach(entries, tellSent, { discard: true })),
          )

    /** Relays one shard until its lease is another's, or it stayed empty. */
    const relayShard = Effect.fnUntraced(function* (shard: number) {
      /** Id of the last entry that the bus took; empty: start at the oldest. */
      let cursor = ""
      let life = lives
      let againAt = 0
      let againMs = times.again
      let lastSeen = yield* Clock.currentTimeMillis

      const produceNext = Effect.fnUntraced(function* () {
        if (life !== lives) {
          life = lives
          cursor = ""
        }
        const rows = yield* range(shard, cursor === "" ? "-" : `(${cursor}`, "+")
        yield* redisTrouble.worked
        if (rows.length === 0) return "nothing"
        lastSeen = yield* Clock.currentTimeMillis
        if (globalThis.__FLOODGATE_FAULTS__) yield* CrashPoint.hit("relay.fetched")
        yield* produce(shard, yield* entriesOf(shard, rows))
        if (globalThis.__FLOODGATE_FAULTS__) yield* CrashPoint.hit("relay.produced")
        RelayMetrics.producedNew(rows.length)
        cursor = rows.at(-1)![0]
        return rows.length < BATCH ? "some" : "more"
      })

      /** Whether something was written here; without a hint shards look together. */
      const awaitHint = Effect.flatMap(Clock.currentTimeMillis, (nowMs) =>
        Effect.map(
          Effect.timeoutOption(signals.awaitWritten(shard), times.poll - (nowMs % times.poll)),
          Option.isSome,
        ),
      )

      const publisher = Effect.gen(function* () {
        let backoff: number = BACKOFF_MS[0]
        while (true) {
          const moved = yield* produceNext().pipe(
            Effect.catchAll((error) =>
              Effect.as(
                error._tag === "BusUnavailable" ? Effect.void : redisTrouble.failed(error),
                "failed" as const,
              ),
            ),
          )
          if (moved === "failed") {
            yield* Effect.sleep(backoff)
            backoff = Math.min(backoff * 2, BACKOFF_MS[1])
            continue
          }
          backoff = BACKOFF_MS[0]
          if (moved === "some" || (moved === "nothing" && (yield* awaitHint))) yield* awaitDeparture
        }
      })

      /** Asks for the outcomes of one page of what was produced; answers where the next page starts, if it is worth it. */
      const sweepPage = Effect.fnUntraced(function* (
        from: string,
        upTo: string,
        again: boolean,
        redisNowMs: number,
      ) {
        const rows = yield* range(shard, from, upTo)
        if (rows.length === 0) return { next: undefined, empty: from === "-", produced: false }
        const entries = yield* entriesOf(shard, rows)
        const { decided, held } = yield* outcomesOf({ shard, entries })
        yield* outcomeTrouble.worked
        const ids = entries.filter((entry) => decided.has(entry.order_num)).map((entry) => entry.id)
        if (ids.length > 0) {
          yield* hooks.deleting(shard)
          if (globalThis.__FLOODGATE_FAULTS__) yield* CrashPoint.hit("relay.deleting")
          yield* redis.run("relay.delete", (c) => c.xdel(ShardKeys.stream(shard), ...ids))
          RelayMetrics.deleted(ids.length)
          againMs = times.again
        }
        // Ages by Redis' own clock: the id is its time, too.
        const old = redisNowMs - times.again
        const waiting = entries.filter((entry) => !decided.has(entry.order_num) && entry.reserved_at_ms < old)
        // A dead letter that somebody has still to settle keeps its entry, and gains nothing from another copy.
        const untold = waiting.filter((entry) => !held.has(entry.order_num))
        if (again) {
          yield* produce(shard, untold)
          RelayMetrics.producedAgain(untold.length)
        }
        const stuck = ids.length === 0 && waiting.length < entries.length
        return {
          next: rows.length < BATCH || stuck ? undefined : `(${rows.at(-1)![0]}`,
          empty: false,
          produced: again && untold.length > 0,
        }
      })

      /**
       * Shows the age of the oldest entry, whether the bus has it or not: one that can't be produced is open all the same.
       * Answers what time it is by the shard's Redis, ms.
       */
      const lookAtOldest = Effect.gen(function* () {
        const [first, [seconds, micros]] = yield* Effect.all(
          [
            redis.run("relay.oldest", (c) => c.xrange(ShardKeys.stream(shard), "-", "+", "COUNT", 1)),
            redis.run("relay.time", (c) => c.time()),
          ],
          { concurrency: 2 },
        )
        const nowMs = Number(seconds) * 1_000 + Number(micros) / 1_000
        const id = first[0]?.[0]
        RelayMetrics.oldestOf(shard, id === undefined ? 0 : nowMs - Number.parseInt(id, 10))
        return nowMs
      })

      /** The oldest first, on and on while pages come back decided or are too old to be on their way. */
      const sweep = Effect.gen(function* () {
        const redisNowMs = yield* lookAtOldest
        const upTo = cursor
        if (upTo === "") return
        const now = yield* Clock.currentTimeMillis
        const again = now >= againAt
        let produced = false
        for (let from: string | undefined = "-"; from !== undefined; ) {
          const page: { next: string | undefined; empty: boolean; produced: boolean } = yield* sweepPage(
            from,
            upTo,
            again,
            redisNowMs,
          )
          // Nothing is open: whatever comes is new, even if the server's clock went back meanwhile.
          if (page.empty && cursor === upTo) cursor = ""
          produced ||= page.produced
          from = page.next
        }
        if (produced) {
          againAt = now + againMs
          againMs = Math.min(againMs * 2, times.again * 8)
        }
      })

      /** Until the shard's next moment, which it shares with a quarter of the others. */
      const awaitSweep = Effect.flatMap(Clock.currentTimeMillis, (nowMs) => {
        const phase = ((shard % SWEEP_PHASES) * times.sweep) / SWEEP_PHASES
        return Effect.sleep(times.sweep - ((nowMs - phase) % times.sweep))
      })

      const sweeper = Effect.gen(function* () {
        while (true) {
          yield* awaitSweep
          yield* Effect.catchAll(sweep, (error) => {
            switch (error._tag) {
              case "BusUnavailable":
                return Effect.void
              case "RedisUnavailable":
              case "RedisOutcomeUnknown":
              case "RedisScriptFailed":
                return redisTrouble.failed(error)
              default:
                return outcomeTrouble.failed(error)
            }
          })
        }
      })

      const keeper = Effect.gen(function* () {
        let heldUntil = (yield* Clock.currentTimeMillis) + times.lease
        while (true) {
          yield* Effect.sleep(times.lease / 3)
          const asked = yield* Clock.currentTimeMillis
          if (asked - lastSeen > times.idle) {
            const length = yield* Effect.option(
              redis.run("relay.length", (c) => c.xlen(ShardKeys.stream(shard))),
            )
            if (Option.isSome(length) && length.value === 0) return
            lastSeen = asked
          }
          const renewed = yield* Effect.option(lease(shard, times.lease))
          if (Option.isNone(renewed)) {
            if (asked > heldUntil) return
          } else if (!renewed.value) {
            return
          } else {
            heldUntil = asked + times.lease
          }
        }
      })

      yield* Effect.raceFirst(keeper, Effect.all([publisher, sweeper], { concurrency: 2, discard: true }))
    })

    const fibers = yield* FiberMap.make<number>()
    let relaying = 0
    yield* RelayMetrics.observe(() => relaying)
    /** When to ask again for a lease that another relay held (ms). */
    const notBefore = new Float64Array(Shards.SHARDS)

    const start = Effect.fnUntraced(function* (shard: number) {
      if (yield* FiberMap.has(fibers, shard)) return
      const now = yield* Clock.currentTimeMillis
      if (now < notBefore[shard]!) return
      if (!(yield* lease(shard, times.lease))) {
        notBefore[shard] = now + times.lease / 10
        return
      }
      relaying++
      yield* FiberMap.run(
        fibers,
        shard,
        signals.attend(shard, true).pipe(
          Effect.zipRight(relayShard(shard)),
          Effect.ensuring(signals.attend(shard, false)),
          Effect.ensuring(
            Effect.sync(() => {
              relaying--
              // Another process's from here on.
              RelayMetrics.oldestOf(shard, 0)
            }),
          ),
          Effect.ensuring(Effect.ignore(lease(shard, 0))),
        ),
      )
    })

    const hinted = Effect.forever(
      Effect.flatMap(signals.takeUnattended, (shard) => Effect.catchAll(start(shard), redisTrouble.failed)),
    )

    /** What other processes left, and what a crash left. On a cluster, shards of a dead server are passed over. */
    const scan = Effect.gen(function* () {
      const lengths = yield* redis.run("relay.scan", (c) =>
        Promise.allSettled(ALL.map((shard) => c.xlen(ShardKeys.stream(shard)))),
      )
      RelayMetrics.looked(
        lengths.reduce((sum, length) => sum + (length.status === "fulfilled" ? length.value : 0), 0),
      )
      for (const [shard, length] of lengths.entries()) {
        if (length.status === "fulfilled" && length.value > 0) yield* start(shard)
      }
    })

    const scanner = Effect.forever(
      Effect.zipRight(Effect.catchAll(scan, redisTrouble.failed), Effect.sleep(times.scan)),
    )

    /** A bus that forgot what it had is given every open entry again, without waiting for each to grow old. */
    const busWatch = Effect.gen(function* () {
      let known = ""
      while (true) {
        const found = yield* Effect.option(bus.incarnation)
        if (Option.isSome(found) && found.value !== known) {
          if (known !== "") {
            lives++
            yield* Effect.logWarning("the bus began another life: open reservations are sent again")
          }
          known = found.value
        }
        yield* Effect.sleep(times.sweep)
      }
    })

    yield* Effect.forkScoped(busWatch)
    yield* Effect.forkScoped(hinted)
    yield* Effect.forkScoped(scanner)
  })

type Needs = Redis | EventBus | OrderingClient | ShardSignals | RelayHooks

/** Relays while the scope is open; at its end the leases are given up. */
export const layerWith = (times: RelayTimes): Layer.Layer<never, never, Needs> =>
  Layer.scopedDiscard(make(times))

/** `layerWith(defaultTimes)`. */
export const layer: Layer.Layer<never, never, Needs> = layerWith(defaultTimes)
