/**
 * Sends a database's outbox rows to the bus.
 *
 * A relay leases buckets for 6 s at a time and renews them; per bucket it reads the oldest unsent rows, publishes them,
 * and marks them sent, one batch at a time. It holds no lock while it speaks to the bus. Where the bus is away it tries
 * again for as long as that lasts; rows wait in the table.
 *
 * A relay that lost its lease (it was stopped, or MySQL was away) marks nothing, as its epoch is no longer the bucket's;
 * its successor sends those rows again. That makes duplicates, never gaps.
 *
 * When the bus shows another life (a Redis that came back empty), everything sent since the last checkpoint is sent
 * again. A checkpoint is a time before which all that was sent has been finished by every consumer.
 */
import { randomUUID } from "node:crypto"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type { BusUnavailable } from "../event-bus/BusError.ts"
import { EventBus } from "../event-bus/EventBus.ts"
import type { OutgoingMessage } from "../event-bus/Message.ts"
import * as CrashPoint from "../lifecycle/CrashPoint.ts"
import * as Sampler from "../metrics/Sampler.ts"
import { affected, Mysql } from "../mysql/Mysql.ts"
import type { MysqlError } from "../mysql/MysqlError.ts"
import * as Settled from "../resilience/Settled.ts"
import * as TraceContext from "../telemetry/TraceContext.ts"
import * as OutboxMetrics from "./OutboxMetrics.ts"

export const BUCKETS = 16

export class OutboxRelay extends Context.Tag("@floodgate/runtime/outbox/OutboxRelay")<
  OutboxRelay,
  {
    /** Makes the relay look for new rows at once. */
    readonly nudge: Effect.Effect<void>
  }
>() {}

/** What a relay needs. */
export type Needs = Mysql | EventBus

const ALL_BUCKETS = Array.from({ length: BUCKETS }, (_, bucket) => bucket).join(", ")
const LEASE_SECONDS = 6
/** A relay stops trusting its leases this long before the database lets them go. */
const LEASE_MARGIN_MS = 1_000
const TURN_MS = 1_500
const POLL_MS = 150
/** How long the next rows gather behind what was sent; whoever comes after a pause doesn't wait. */
const GATHER_MS = 75
const ROWS_A_BATCH = 100
/** Batches of one bucket before the other buckets get their turn. */
const BATCHES_A_ROUND = 10
const BUCKETS_AT_ONCE = 4
const CHECKPOINT_MS = 5_000
const PURGE_MS = 60_000
const ROWS_A_PURGE = 500
const PURGES_A_ROUND = 20
const RELEASE_MS = 2_000
const FINISH_MS = 5_000
const BACKOFF_MIN_MS = 100
const BACKOFF_MAX_MS = 2_000

interface Row {
  readonly id: number
  readonly event_id: string
  readonly topic: string
  readonly aggregate: string
  readonly type: string
  readonly payload: string
  readonly traceparent: string | null
}

interface Lease {
  readonly bucket: number
  readonly epoch: number
  /** The bus' life that the marks in this bucket refer to; "" before the first. */
  readonly bus: string
}

const backoffMs = (failures: number): number => {
  const ceiling = Math.min(BACKOFF_MAX_MS, BACKOFF_MIN_MS * 2 ** Math.min(failures - 1, 10))
  return ceiling / 2 + Math.random() * (ceiling / 2)
}

const message = (row: Row): OutgoingMessage => ({
  key: row.aggregate,
  value: row.payload,
  headers: {
    "event-id": row.event_id,
    "event-type": row.type,
    ...(row.traceparent === null ? {} : { traceparent: row.traceparent }),
  },
})

/** See `Outbox.relayLayer`. */
export const layer = (options: { readonly name: string }): Layer.Layer<OutboxRelay, never, Needs> =>
  Layer.scoped(
    OutboxRelay,
    Effect.gen(function* () {
      const wake = yield* Effect.makeLatch(false)
      yield* start(`${options.name}-${randomUUID()}`, wake)
      return { nudge: wake.open.pipe(Effect.asVoid) }
    }).pipe(Effect.annotateLogs({ relay: options.name })),
  )

/** Keeps an effect going: a failure is logged once an outage, and tried again after a back-off, for ever. */
const persist = <R>(
  what: string,
  step: Effect.Effect<void, BusUnavailable | MysqlError, R>,
): Effect.Effect<never, never, R> =>
  Effect.gen(function* () {
    let failures = 0
    while (true) {
      const exit = yield* Effect.exit(step)
      if (exit._tag === "Success") {
        if (failures > 0) yield* Effect.logInfo(`${what} goes on after ${failures} failures`)
        failures = 0
        continue
      }
      failures++
      yield* failures === 1 || failures % 30 === 0
        ? Effect.logWarning(`${what} failed ${failures} times, tries again`, exit.cause)
        : Effect.void
      yield* Effect.sleep(backoffMs(failures))
    }
  })

const start = (owner: string, wake: Effect.Latch): Effect.Effect<void, never, Needs | Scope.Scope> =>
  Effect.gen(function* () {
    const mysql = yield* Mysql
    const bus = yield* EventBus
    const { sql } = mysql
    const held = new Map<number, Lease>()
    const locks = Array.from({ length: BUCKETS }, () => Effect.unsafeMakeSemaphore(1))
    let trustedUntilMs = 0
    let stopping = false

    const holds = (lease: Lease): boolean =>
      !stopping && performance.now() < trustedUntilMs && held.get(lease.bucket)?.epoch === lease.epoch

    // ---- leases

    const renew = mysql.run(
      "outbox.renew",
      Effect.gen(function* () {
        const askedMs = performance.now()
        yield* sql`
          UPDATE outbox_lease SET expires_at = UTC_TIMESTAMP(3) + INTERVAL ${sql.literal(String(LEASE_SECONDS))} SECOND
          WHERE owner = ${owner}`
        const mine = yield* sql<Lease>`SELECT bucket, epoch, bus FROM outbox_lease WHERE owner = ${owner}`
        held.clear()
        for (const lease of mine) held.set(lease.bucket, lease)
        trustedUntilMs = askedMs + LEASE_SECONDS * 1_000 - LEASE_MARGIN_MS
      }),
    )

    /** Takes every bucket whose lease ran out. SKIP LOCKED: relays that do so at once don't wait for each other. */
    const acquire = mysql
      .transaction(
        "outbox.acquire",
        Effect.gen(function* () {
          const free = yield* sql<{ bucket: number }>`
            SELECT bucket FROM outbox_lease WHERE expires_at <= UTC_TIMESTAMP(3)
            ORDER BY bucket FOR UPDATE SKIP LOCKED`
          yield* Effect.forEach(
            free,
            ({ bucket }) => sql`
              UPDATE outbox_lease
              SET owner = ${owner}, epoch = epoch + 1,
                expires_at = UTC_TIMESTAMP(3) + INTERVAL ${sql.literal(String(LEASE_SECONDS))} SECOND
              WHERE bucket = ${bucket}`,
            { discard: true },
          )
          return free.length
        }),
      )
      .pipe(
        Effect.filterOrElse(
          (taken) => taken > 0,
          () => Effect.succeed(0),
        ),
      )

    // ---- another life of the bus

    /** Under its lock nothing of the bucket is sent meanwhile, so its rows keep their order. */
    const sendAgain = (lease: Lease, life: string) =>
      locks[lease.bucket]!.withPermits(1)(
        Effect.gen(function* () {
          let rows = 0
          while (lease.bus !== "" && holds(lease)) {
            const { affectedRows } = yield* mysql.run(
              "outbox.unmark",
              affected(sql`
                UPDATE outbox SET sent_at = NULL
                WHERE bucket = ${lease.bucket}
                  AND sent_at >= (SELECT checkpoint_at FROM outbox_lease WHERE bucket = ${lease.bucket})
                  AND (SELECT epoch FROM outbox_lease WHERE bucket = ${lease.bucket}) = ${lease.epoch}
                ORDER BY id LIMIT ${sql.literal(String(ROWS_A_PURGE))}`),
            )
            rows += affectedRows
            if (affectedRows === 0) break
          }
          if (!holds(lease)) return
          yield* mysql.run(
            "outbox.adopt",
            sql`UPDATE outbox_lease SET bus = ${life} WHERE bucket = ${lease.bucket} AND epoch = ${lease.epoch}`,
          )
          held.set(lease.bucket, { ...lease, bus: life })
          if (rows > 0) {
            yield* Effect.logWarning(
              `the bus began another life: ${rows} rows of bucket ${lease.bucket} are sent again`,
            )
            yield* wake.open
          }
        }),
      )

    /** The mark that consumers haven't passed yet, if one was taken. */
    let mark: { readonly at: string; readonly passed: Effect.Effect<boolean, BusUnavailable> } | undefined
    let markAtMs = 0

    const checkpoint = Effect.gen(function* () {
      if (mark === undefined) {
        if (performance.now() < markAtMs || held.size === 0) return
        markAtMs = performance.now() + CHECKPOINT_MS
        // The time first: what was marked sent before it is on the bus before the mark.
        const [now] = yield* mysql.run(
          "outbox.now",
          sql<{ at: string }>`SELECT CAST(UTC_TIMESTAMP(3) AS CHAR(23)) AS at`,
        )
        mark = { at: now!.at, passed: yield* bus.checkpoint }
      }
      if (yield* mark.passed) {
        yield* mysql.run(
          "outbox.checkpoint",
          sql`UPDATE outbox_lease SET checkpoint_at = ${mark.at} WHERE owner = ${owner}`,
        )
        mark = undefined
      } else if (performance.now() > markAtMs + 12 * CHECKPOINT_MS) {
        // A mark of an earlier life is never passed.
        mark = undefined
      }
    })

    // ---- old rows

    let purgeAtMs = performance.now() + PURGE_MS
    const repeatedly = (op: string, remove: Parameters<typeof affected>[0]) =>
      mysql.run(op, affected(remove)).pipe(
        Effect.map(({ affectedRows }) => affectedRows),
        Effect.repeat({ until: (rows) => rows < ROWS_A_PURGE, times: PURGES_A_ROUND }),
      )
    const limit = sql.literal(String(ROWS_A_PURGE))
    const purge = Effect.gen(function* () {
      if (performance.now() < purgeAtMs) return
      purgeAtMs = performance.now() + PURGE_MS
      for (const bucket of held.keys()) {
        yield* repeatedly(
          "outbox.purge",
          sql`
            DELETE FROM outbox WHERE bucket = ${bucket}
              AND sent_at < UTC_TIMESTAMP(3) - INTERVAL 24 HOUR
              AND sent_at < (SELECT checkpoint_at FROM outbox_lease WHERE bucket = ${bucket})
            ORDER BY sent_at LIMIT ${limit}`,
        )
      }
      if (held.has(0)) {
        // Longer than the bus keeps a message.
        yield* repeatedly(
          "inbox.purge",
          sql`DELETE FROM inbox WHERE seen_at < UTC_TIMESTAMP(3) - INTERVAL 8 DAY ORDER BY seen_at LIMIT ${limit}`,
        )
      }
    })

    const turn = Effect.gen(function* () {
      const taken = yield* acquire
      yield* renew
      if (taken > 0) yield* wake.open
      const life = yield* Effect.option(bus.incarnation)
      if (life._tag === "Some") {
        const adopt = [...held.values()].filter((lease) => lease.bus !== life.value)
        yield* Effect.forEach(adopt, (lease) => sendAgain(lease, life.value), { discard: true })
        yield* checkpoint.pipe(Effect.catchTag("BusUnavailable", () => Effect.void))
      }
      yield* purge
      yield* Effect.sleep(TURN_MS)
    }).pipe(Effect.withTracerEnabled(false))

    // ---- sending

    const read = (bucket: number) =>
      mysql.run(
        "outbox.read",
        sql<Row>`
          SELECT id, event_id, topic, aggregate, type, payload, traceparent
          FROM outbox FORCE INDEX (unsent) WHERE bucket = ${bucket} AND sent_at IS NULL
          ORDER BY id LIMIT ${sql.literal(String(ROWS_A_BATCH))}`,
      )

    /** Marks exactly these rows: another with a smaller id may have been committed since they were read. */
    const markSent = (lease: Lease, rows: ReadonlyArray<Row>) =>
      mysql.run(
        "outbox.mark",
        affected(sql`
          UPDATE JSON_TABLE(${JSON.stringify(rows.map(({ id }) => id))}, '$[*]' COLUMNS (id BIGINT UNSIGNED PATH '$')) AS sent
            JOIN outbox ON outbox.id = sent.id
          SET outbox.sent_at = UTC_TIMESTAMP(3)
          WHERE outbox.sent_at IS NULL
            AND (SELECT epoch FROM outbox_lease WHERE bucket = ${lease.bucket}) = ${lease.epoch}`),
      )

    const publish = (rows: ReadonlyArray<Row>) => {
      const byTopic = new Map<string, Array<OutgoingMessage>>()
      for (const row of rows) {
        const messages = byTopic.get(row.topic)
        if (messages === undefined) byTopic.set(row.topic, [message(row)])
        else messages.push(message(row))
      }
      return Effect.forEach(byTopic, ([topic, messages]) => bus.publish(topic, messages), { discard: true })
    }

    /** Sends a bucket's rows until it is empty or the others are due. True when rows are left. */
    const drain = (bucket: number) =>
      locks[bucket]!.withPermits(1)(
        Effect.gen(function* () {
          for (let batches = 0; batches < BATCHES_A_ROUND; batches++) {
            const lease = held.get(bucket)
            // Before its life is known the bus might need older rows first.
            if (lease === undefined || lease.bus === "" || !holds(lease)) return false
            const rows = yield* read(bucket)
            if (rows.length === 0) return false
            if (!holds(lease)) return false
            const traced = rows.flatMap(({ traceparent }) => (traceparent === null ? [] : [traceparent]))
            const published = globalThis.__FLOODGATE_FAULTS__
              ? Effect.zipLeft(publish(rows), CrashPoint.hit("outbox.published"))
              : publish(rows)
            const send = Effect.zipRight(published, markSent(lease, rows))
            const { affectedRows } = yield* traced.length === 0
              ? Effect.withTracerEnabled(send, false)
              : Effect.withSpan(send, "Outbox.send", { root: true, links: TraceContext.links(traced) })
            OutboxMetrics.sent.inc({}, affectedRows)
            if (affectedRows < rows.length) {
              held.delete(bucket)
              yield* Effect.logWarning(
                `bucket ${bucket} went to another relay: ${rows.length} rows stay unmarked`,
              )
              return false
            }
            if (rows.length < ROWS_A_BATCH) return false
          }
          return true
        }),
      )

    /** Buckets of ours with something to send. One index look-up a bucket, however long the backlog. */
    const waiting = mysql
      .run(
        "outbox.poll",
        sql<{ bucket: number; oldest: number | null }>`
          SELECT lease.bucket, (
            SELECT id FROM outbox FORCE INDEX (unsent)
            WHERE outbox.bucket = lease.bucket AND sent_at IS NULL ORDER BY id LIMIT 1
          ) AS oldest FROM outbox_lease AS lease`,
      )
      .pipe(
        Effect.map((buckets) =>
          buckets
            .filter(({ bucket, oldest }) => oldest !== null && held.has(bucket))
            .map(({ bucket }) => bucket),
        ),
      )

    const round = Effect.gen(function* () {
      // Closed before looking: a nudge from now on means another look.
      yield* wake.close
      const left =
        held.size === 0
          ? []
          : yield* Effect.withTracerEnabled(waiting, false).pipe(
              // Each to its end: a bucket that the bus' breaker turns away must not interrupt the one whose call finds out.
              Effect.flatMap((buckets) => Settled.forEach(buckets, drain, { concurrency: BUCKETS_AT_ONCE })),
            )
      if (left.includes(true)) return
      if (left.length > 0) yield* Effect.sleep(GATHER_MS)
      yield* wake.await.pipe(Effect.timeoutOption(POLL_MS))
    })

    /** Every bucket's by one range of the index each; who holds them doesn't matter. */
    const sample = mysql
      .run(
        "outbox.sample",
        sql<{ rows_waiting: number; oldest_ms: number | null }>`
          SELECT COUNT(*) AS rows_waiting,
            TIMESTAMPDIFF(MICROSECOND, MIN(created_at), UTC_TIMESTAMP(3)) DIV 1000 AS oldest_ms
          FROM (
            SELECT created_at FROM outbox FORCE INDEX (unsent)
            WHERE bucket IN (${sql.literal(ALL_BUCKETS)}) AND sent_at IS NULL
            LIMIT ${sql.literal(String(OutboxMetrics.MAX_COUNTED))}
          ) AS waiting`,
      )
      .pipe(
        Effect.tap((rows) =>
          Effect.sync(() => {
            const [found] = rows
            OutboxMetrics.unsent.set({}, found?.rows_waiting ?? 0)
            OutboxMetrics.oldest.set({}, Math.max(0, found?.oldest_ms ?? 0) / 1_000)
          }),
        ),
      )

    yield* Sampler.make("the outbox", sample)

    const release = mysql.run(
      "outbox.release",
      sql`UPDATE outbox_lease SET owner = '', expires_at = '1970-01-02 00:00:00.000' WHERE owner = ${owner}`,
    )

    // In reverse order: stop sending, let the batches in hand end, then give the buckets back.
    yield* Effect.addFinalizer(() =>
      release.pipe(Effect.interruptible, Effect.timeout(RELEASE_MS), Effect.ignore),
    )
    yield* Effect.forkScoped(persist("the outbox' lease", turn))
    yield* Effect.forkScoped(persist("the outbox' relay", round))
    yield* Effect.addFinalizer(() =>
      Effect.gen(function* () {
        stopping = true
        yield* Effect.forEach(locks, (lock) => lock.withPermits(1)(Effect.void), { discard: true }).pipe(
          Effect.interruptible,
          Effect.timeout(FINISH_MS),
          Effect.ignore,
        )
      }),
    )
  })
