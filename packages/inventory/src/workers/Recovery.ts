/**
 * Proves closed shards equal to MySQL again, and opens them. A round takes all that are closed: claim (nothing can be
 * written from here on) → produce what the streams still hold → a barrier down every partition, so that what the bus
 * has is decided → each product rebuilt under its next generation while its row is locked → the fence.
 *
 * One process does it at a time, under a lease in MySQL whose epoch rises with every round: it numbers the barriers and
 * the claims, so that whoever slept through a later round is refused wherever it would write.
 */
import { randomUUID } from "node:crypto"
import type { BarrierEvent } from "@floodgate/contracts/events/BarrierEvent"
import { partitions, Topic } from "@floodgate/contracts/events/Topic"
import { OrderingClient } from "@floodgate/contracts/rpc/OrderingClient"
import { EventBus } from "@floodgate/runtime/event-bus/EventBus"
import * as CrashPoint from "@floodgate/runtime/lifecycle/CrashPoint"
import { affected, Mysql, retryConflicts } from "@floodgate/runtime/mysql/Mysql"
import { Redis } from "@floodgate/runtime/redis/Redis"
import * as Shards from "@floodgate/runtime/redis/Shards"
import * as Clock from "effect/Clock"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import { expireAtS, warmUpArgs } from "../store/ReservationStore.ts"
import * as SaleScripts from "../store/SaleScripts.ts"
import { SaleSwitchStore } from "../store/SaleSwitchStore.ts"
import { ShardFence } from "../store/ShardFence.ts"
import * as ShardKeys from "../store/ShardKeys.ts"
import type { ShardSignals } from "../store/ShardSignals.ts"
import * as FenceWatch from "./FenceWatch.ts"
import * as RecoveryMetrics from "./RecoveryMetrics.ts"
import { entriesOf, messageOf } from "./Relay.ts"
import * as Trouble from "./Trouble.ts"

/** Another process recovers, or took over from this one. */
class LeaseLost extends Data.TaggedError("LeaseLost") {}

/** The order worker did not record the barrier on every partition within the bound. */
class BarrierNotReached extends Data.TaggedError("BarrierNotReached")<{ readonly epoch: number }> {
  override get message(): string {
    return `the order worker hasn't recorded barrier ${this.epoch} on every partition`
  }
}

/** The bus came back empty: what this round gave it is gone, its barrier with it. */
class BusLost extends Data.TaggedError("BusLost") {
  override get message(): string {
    return "the bus lost what it held while a barrier was on its way"
  }
}

/** The server was emptied, restarted or claimed by a later round while it was loaded. */
class LoadRefused extends Data.TaggedError("LoadRefused")<{ readonly shard: number }> {
  override get message(): string {
    return `shard ${this.shard} changed hands while it was loaded`
  }
}

/** How long the lease of one who died stands in the way, seconds; renewed three times as often. */
const LEASE_S = 6

/** How long the order worker may take to come to the barrier. Its backlog lies before it. */
const BARRIER_PATIENCE = "5 minutes"

/** Shards rebuilt at once; each holds a connection to MySQL. */
const CONCURRENCY = 4

/** Reservations read from ordering at once, and rows loaded into Redis by one call. */
const PAGE = 2_000
const ROWS = 500

/** Time for one product: a million orders take some ten seconds. */
const PRODUCT_DEADLINE_MS = 120_000

const BATCH = 500

/**
 * How long Redis may take for one call, ms: nobody waits at a closed shard as a buyer does, and a round that gives up on
 * a busy machine begins again from its start.
 */
const REDIS = { deadlineMs: 5_000 }

interface ProductRow {
  readonly id: number
  readonly stock: number
  readonly start_ms: number
  readonly end_ms: number | null
  readonly per_user_limit: number
  readonly price: number
  readonly state: string
  readonly generation: number
}

const make = Effect.gen(function* () {
  const redis = yield* Redis
  const mysql = yield* Mysql
  const { sql } = mysql
  const bus = yield* EventBus
  const ordering = yield* OrderingClient
  const fence = yield* ShardFence
  const saleSwitch = yield* SaleSwitchStore
  const watch = yield* FenceWatch.make
  const context = yield* Effect.context<Redis>()
  const holder = randomUUID()
  const trouble = Trouble.make("recovery of closed shards")
  const barrierTrouble = Trouble.make("asking ordering for a barrier")

  /** Epochs that Redis was seen to hold: a MySQL restored from an old copy must not fall behind them. */
  let floor = 0
  /** Shards to rebuild although their fences look right. */
  const incomplete = new Set<number>()

  const acquire = mysql.transaction(
    "recovery.acquire",
    Effect.gen(function* () {
      const { affectedRows } = yield* affected(sql`
        UPDATE recovery_lease
        SET epoch = GREATEST(epoch, ${floor}) + 1, holder = ${holder},
          expires_at = UTC_TIMESTAMP(3) + INTERVAL ${LEASE_S} SECOND
        WHERE scope = 'redis' AND (holder IN ('', ${holder}) OR expires_at < UTC_TIMESTAMP(3))`)
      if (affectedRows === 0) return yield* new LeaseLost()
      const rows = yield* sql<{ epoch: number }>`SELECT epoch FROM recovery_lease WHERE scope = 'redis'`
      return rows[0]!.epoch
    }),
  )

  /** Keeps the lease; ends only by failing, when it is another's. */
  const keepLease = (epoch: number) =>
    mysql
      .run(
        "recovery.renew",
        affected(sql`
          UPDATE recovery_lease SET expires_at = UTC_TIMESTAMP(3) + INTERVAL ${LEASE_S} SECOND
          WHERE scope = 'redis' AND holder = ${holder} AND epoch = ${epoch}`),
      )
      .pipe(
        Effect.filterOrFail(
          ({ affectedRows }) => affectedRows === 1,
          () => new LeaseLost(),
        ),
        Effect.delay((LEASE_S * 1_000) / 3),
        Effect.forever,
      )

  const giveUpLease = (epoch: number) =>
    mysql
      .run(
        "recovery.giveUp",
        sql`UPDATE recovery_lease SET holder = '' WHERE scope = 'redis' AND holder = ${holder} AND epoch = ${epoch}`,
      )
      .pipe(Effect.ignore)

  /**
   * What must be in Redis: everything that sells or may get stock back. An order can be cancelled long after the sale's
   * end only by an operator, and then there is nobody left to buy what comes back.
   */
  const productsInScope = mysql.run(
    "recovery.products",
    sql<{ id: number; generation: number }>`
      SELECT id, generation FROM product
      WHERE state IN ('published', 'withdrawn')
        AND (end_time IS NULL OR end_time > UTC_TIMESTAMP(3) - INTERVAL 1 DAY)
      ORDER BY id`,
  )

  const generationsInRedis = (ids: ReadonlyArray<number>) =>
    redis.run(
      "recovery.generations",
      (c) => Promise.all(ids.map((id) => c.hget(ShardKeys.product(id), "gen"))),
      REDIS,
    )

  /** Produces every entry that the shard's stream still holds. */
  const drain = Effect.fn("Recovery.drain")(function* (shard: number) {
    for (let from = "-"; ; ) {
      const rows = yield* redis.run(
        "recovery.drain",
        (c) => c.xrange(ShardKeys.stream(shard), from, "+", "COUNT", BATCH),
        REDIS,
      )
      const last = rows.at(-1)
      if (last === undefined) return
      const entries = yield* entriesOf(shard, rows)
      yield* bus.publish(
        Topic.Reservations,
        entries.map((entry) => messageOf(shard, entry)),
      )
      from = `(${last[0]}`
    }
  })

  /**
   * Everything that the bus has of these shards, since it began the life that is named, is decided in MySQL when this is
   * done. Fails with BusLost where it began another one.
   */
  const barrier = Effect.fn("Recovery.barrier")(function* (epoch: number, life: string) {
    const event: BarrierEvent = {
      event_id: `barrier-${epoch}`,
      type: "seckill.barrier",
      version: 1,
      epoch,
      occurred_at: new Date(yield* Clock.currentTimeMillis).toISOString(),
    }
    const count = partitions[Topic.Reservations]
    yield* bus.publish(
      Topic.Reservations,
      Array.from({ length: count }, (_, partition) => ({
        key: event.event_id,
        value: JSON.stringify(event),
        partition,
      })),
    )
    const isSame = (now: string) => now === life
    // What was drained and the barrier behind it must lie on one and the same log.
    yield* Effect.filterOrFail(bus.incarnation, isSame, () => new BusLost())
    yield* ordering.getBarrier({ epoch: BigInt(epoch) }).pipe(
      Effect.map((answer) => new Set(answer.partitions).size),
      // Ordering may be away for a while; giving up would only put another barrier behind the same backlog.
      Effect.tapBoth({ onFailure: barrierTrouble.failed, onSuccess: () => barrierTrouble.worked }),
      Effect.orElseSucceed(() => 0),
      // A barrier that is gone is never reached. A bus that is away hasn't lost it, as far as anybody knows.
      Effect.tap((reached) =>
        reached >= count
          ? Effect.void
          : Effect.filterOrFail(
              Effect.orElseSucceed(bus.incarnation, () => life),
              isSame,
              () => new BusLost(),
            ),
      ),
      Effect.repeat({
        until: (reached) => reached >= count,
        schedule: Schedule.exponential("10 millis").pipe(Schedule.either(Schedule.spaced("200 millis"))),
      }),
      Effect.timeoutFail({ duration: BARRIER_PATIENCE, onTimeout: () => new BarrierNotReached({ epoch }) }),
    )
  })

  const loadRows = (
    row: ProductRow,
    generation: number,
    epoch: number,
    first: boolean,
    args: ReadonlyArray<string | number>,
  ) =>
    SaleScripts.load
      .run(
        [
          ShardKeys.fence(Shards.shardOf(row.id)),
          ShardKeys.product(row.id),
          ShardKeys.buyers(row.id, generation),
        ],
        [epoch, generation, first ? 1 : 0, expireAtS(row.end_ms), ...args],
        REDIS,
      )
      .pipe(
        Effect.provide(context),
        Effect.filterOrFail(
          (reply) => reply === 1,
          () => new LoadRefused({ shard: Shards.shardOf(row.id) }),
        ),
      )

  /** Copies every reservation that MySQL knows of; answers how many. */
  const loadReservations = Effect.fnUntraced(function* (row: ProductRow, generation: number, epoch: number) {
    let count = 0
    // What an earlier try left under this generation goes, even where there is nothing to load.
    yield* loadRows(row, generation, epoch, true, [])
    for (let pageToken = ""; ; ) {
      const page = yield* ordering.listReservations({
        productId: BigInt(row.id),
        pageSize: PAGE,
        pageToken,
      })
      for (let at = 0; at < page.records.length; at += ROWS) {
        const args: Array<string | number> = []
        for (const r of page.records.slice(at, at + ROWS)) {
          args.push(String(r.userId), r.orderNum, r.quantity, r.requestId, r.live ? "l" : "r")
        }
        yield* loadRows(row, generation, epoch, false, args)
      }
      count += page.records.length
      if (page.nextPageToken === "") return count
      pageToken = page.nextPageToken
    }
  })

  /** One product, its row locked: nothing is sold, cancelled or created meanwhile. Answers how many reservations. */
  const rebuild = Effect.fn("Recovery.rebuild")(function* (id: number, epoch: number) {
    const { count, before } = yield* mysql
      .transaction(
        "recovery.rebuild",
        Effect.gen(function* () {
          const rows = yield* sql<ProductRow>`
          SELECT id, stock, TIMESTAMPDIFF(MICROSECOND, '1970-01-01', start_time) DIV 1000 AS start_ms,
            TIMESTAMPDIFF(MICROSECOND, '1970-01-01', end_time) DIV 1000 AS end_ms,
            per_user_limit, price, state, generation
          FROM product WHERE id = ${id} FOR UPDATE`
          const row = rows[0]!
          const [held] = yield* generationsInRedis([id])
          const before = Number(held ?? 0)
          // Redis may be ahead by a rebuild whose commit failed.
          const generation = Math.max(row.generation, before) + 1
          yield* sql`UPDATE product SET generation = ${generation} WHERE id = ${id}`
          const count = yield* loadReservations(row, generation, epoch)
          const reply = yield* SaleScripts.warmup
            .run(
              [ShardKeys.fence(Shards.shardOf(id)), ShardKeys.product(id)],
              warmUpArgs(
                {
                  product_id: id,
                  generation,
                  start_ms: row.start_ms,
                  end_ms: row.end_ms,
                  per_user_limit: row.per_user_limit,
                  price: row.price,
                  stock: row.stock,
                },
                row.state === "published",
                epoch,
              ),
              REDIS,
            )
            .pipe(Effect.provide(context))
          if (!Array.isArray(reply) || reply[0] !== 1) {
            return yield* new LoadRefused({ shard: Shards.shardOf(id) })
          }
          if (globalThis.__FLOODGATE_FAULTS__) yield* CrashPoint.hit("recovery.loaded")
          return { count, before }
        }),
        { deadlineMs: PRODUCT_DEADLINE_MS },
      )
      .pipe(retryConflicts)
    // Nobody asks for the old records any more. Left behind, they would go by themselves, or never where a sale has no end.
    if (before > 0) {
      yield* Effect.ignore(
        redis.run("recovery.unlink", (c) =>
          c.unlink(ShardKeys.buyers(id, before), ShardKeys.adjustments(id, before)),
        ),
      )
    }
    return count
  })

  /** Published while this round was at it, on a shard that it emptied: in MySQL, and not in Redis. */
  const findLate = Effect.fnUntraced(function* (known: ReadonlySet<number>, opened: ReadonlySet<number>) {
    const late = (yield* productsInScope).filter(({ id }) => !known.has(id) && opened.has(Shards.shardOf(id)))
    const generations = yield* generationsInRedis(late.map(({ id }) => id))
    late.forEach(({ id, generation }, i) => {
      if (Number(generations[i] ?? 0) < generation) incomplete.add(Shards.shardOf(id))
    })
  })

  const recover = Effect.fn("Recovery.recover")(function* (epoch: number, suspects: ReadonlySet<number>) {
    const startedAt = yield* Clock.currentTimeMillis
    // Asked again under the lease: another process may have recovered them meanwhile.
    const targets = new Set([...(yield* fence.closed(suspects)), ...incomplete])
    const claims = new Map<number, string>()
    const failures: Array<unknown> = []
    const attempt = <E, R>(self: Effect.Effect<void, E, R>): Effect.Effect<void, never, R> =>
      Effect.catchAll(self, (error) =>
        Effect.sync(() => {
          failures.push(error)
        }),
      )

    yield* Effect.forEach(
      targets,
      (shard) =>
        fence.claim(shard, epoch).pipe(
          Effect.flatMap((run_id) =>
            Effect.sync(() => {
              claims.set(shard, run_id)
              incomplete.delete(shard)
            }),
          ),
          Effect.tapErrorTag("ClaimRefused", (refused) =>
            Effect.sync(() => {
              floor = Math.max(floor, refused.epoch)
            }),
          ),
          attempt,
        ),
      { concurrency: 64, discard: true },
    )

    // Read after the claims: whoever changes it later tells the claimed shards by a higher revision, which stays.
    const sale = yield* saleSwitch.read
    if (globalThis.__FLOODGATE_FAULTS__) yield* CrashPoint.hit("recovery.claimed")
    const products = yield* productsInScope
    const known = new Set(products.map(({ id }) => id))
    const byShard = new Map<number, Array<number>>()
    for (const { id } of products) {
      const shard = Shards.shardOf(id)
      if (claims.has(shard)) byShard.set(shard, [...(byShard.get(shard) ?? []), id])
    }

    const opened = new Set<number>()
    let reservations = 0
    const open = Effect.fnUntraced(function* (shard: number) {
      if (globalThis.__FLOODGATE_FAULTS__) yield* CrashPoint.hit("recovery.rebuilt")
      const isOpen = yield* fence.open(shard, epoch, claims.get(shard)!, sale)
      if (!isOpen) return yield* new LoadRefused({ shard })
      opened.add(shard)
    })

    // A shard that has nothing to sell is equal to MySQL as it is.
    yield* Effect.forEach(
      [...claims.keys()].filter((shard) => !byShard.has(shard)),
      (shard) => attempt(open(shard)),
      { concurrency: 64, discard: true },
    )
    if (byShard.size > 0) {
      const life = yield* bus.incarnation
      yield* Effect.forEach(byShard.keys(), drain, { concurrency: CONCURRENCY, discard: true })
      if (globalThis.__FLOODGATE_FAULTS__) yield* CrashPoint.hit("recovery.drained")
      yield* barrier(epoch, life)
      if (globalThis.__FLOODGATE_FAULTS__) yield* CrashPoint.hit("recovery.barrier")
      yield* Effect.forEach(
        byShard,
        ([shard, ids]) =>
          Effect.forEach(ids, (id) => rebuild(id, epoch)).pipe(
            Effect.flatMap((counts) => {
              reservations += counts.reduce((sum, count) => sum + count, 0)
              return open(shard)
            }),
            attempt,
          ),
        { concurrency: CONCURRENCY, discard: true },
      )
    }
    yield* findLate(known, opened)

    if (opened.size > 0) {
      yield* Effect.annotateLogs(Effect.logInfo("shards recovered"), {
        epoch,
        shards: opened.size,
        products: byShard.size === 0 ? 0 : [...byShard.values()].flat().length,
        reservations,
        ms: (yield* Clock.currentTimeMillis) - startedAt,
      })
    }
    const [failure] = failures
    if (failure !== undefined) return yield* Effect.fail(failure)
  })

  const round = Effect.fnUntraced(function* (suspects: ReadonlySet<number>) {
    const epoch = yield* acquire
    yield* Effect.raceFirst(recover(epoch, suspects), keepLease(epoch)).pipe(
      Effect.ensuring(giveUpLease(epoch)),
    )
  })

  const loop = Effect.gen(function* () {
    let pause = 250
    let suspects: ReadonlySet<number> = new Set()
    while (true) {
      if (incomplete.size === 0) {
        const found = yield* watch.next
        suspects = found.closed
        for (const shard of found.incomplete) incomplete.add(shard)
      }
      const startedAt = performance.now()
      const outcome: Either.Either<void, unknown> = yield* Effect.either(round(suspects))
      const tookMs = performance.now() - startedAt
      if (Either.isRight(outcome)) {
        RecoveryMetrics.round("done", tookMs)
        yield* trouble.worked
        pause = 250
        continue
      }
      // Another process at work is no trouble; a dependency that is away leaves the shards closed until it is back.
      if (!(outcome.left instanceof LeaseLost)) {
        RecoveryMetrics.round("failed", tookMs)
        yield* trouble.failed(outcome.left)
      }
      yield* Effect.sleep(pause)
      pause = Math.min(pause * 2, 2_000)
    }
  })

  yield* Effect.forkScoped(loop)
})

/** Watches and recovers while the scope is open. */
export const layer: Layer.Layer<
  never,
  never,
  Redis | Mysql | EventBus | OrderingClient | SaleSwitchStore | ShardFence | ShardSignals
> = Layer.scopedDiscard(make)
