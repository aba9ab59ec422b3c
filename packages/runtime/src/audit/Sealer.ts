/**
 * Chains what was appended to the audit trail: once a second, the committed rows that have no seal yet, in the order in
 * which it meets them. So no transaction that writes a row ever waits for a tail that all share.
 *
 * One process of a service seals at a time, by a lease in MySQL; every sealing transaction locks the lease's row and
 * checks its epoch, so a holder that was stopped and wakes up late seals nothing. A row's id is no promise of order: one
 * with a smaller id may be committed after one with a larger, so the sealer keeps looking for ids that it missed, until
 * no transaction can be as old as that. Up to `floor_id` there is nothing left to look for.
 *
 * Once an hour, and when it stops, the holder signs the chain's head into a file outside MySQL (AuditHead). It signs
 * nothing while the chain doesn't fit the head that it signed last: then somebody has to look (`stack audit verify`).
 */
import { randomUUID } from "node:crypto"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as AppConfig from "../config/AppConfig.ts"
import * as Sampler from "../metrics/Sampler.ts"
import { Mysql } from "../mysql/Mysql.ts"
import type { MysqlError } from "../mysql/MysqlError.ts"
import * as AuditChain from "./AuditChain.ts"
import * as AuditConfig from "./AuditConfig.ts"
import * as AuditHead from "./AuditHead.ts"
import * as AuditMetrics from "./AuditMetrics.ts"
import * as HeadFile from "./HeadFile.ts"
import { HEAD_EVERY_MS } from "./Verify.ts"

export interface SealerOptions {
  /** The service whose trail it is: part of the chain. */
  readonly service: string
  readonly key: AuditHead.SigningKey
  readonly headFile: string
  /** Between two looks for new rows, ms. Default 1,000. */
  readonly everyMs?: number
  /** Between two heads, ms. Default an hour; `Verify` expects no less often. */
  readonly headEveryMs?: number
  /** For how long an id that was passed over is looked for, ms. Default ten minutes. */
  readonly missingForMs?: number
}

/** Another holds the lease now. */
class LeaseLost extends Data.TaggedError("LeaseLost")<{ readonly owner: string }> {}

const LEASE_S = 15
const RENEW_MS = 5_000
const ROWS_A_BATCH = 500
const BATCHES_A_ROUND = 40
const MISSING_FOR_MS = 10 * 60_000
/** Ids that are looked for at most: the newest ones, of a gap and of all. */
const MAX_MISSING = 20_000
/** An id that has been missing this long is looked for only now and then. */
const FRESH_MS = 30_000
const STALE_EVERY_MS = 15_000
const HEAD_RETRY_MS = 60_000
const FINISH_MS = 4_000
const RELEASE_MS = 2_000
const BACKOFF_MIN_MS = 500
const BACKOFF_MAX_MS = 10_000

interface Lease {
  readonly epoch: number
}

type Candidate = AuditChain.StoredRow & { readonly sealed: number }

/** Seals until its scope closes; then it seals what there is, signs the head and gives the lease back. */
export const make = (options: SealerOptions): Effect.Effect<void, never, Mysql | Scope.Scope> =>
  Effect.gen(function* () {
    const { service, key, headFile } = options
    const everyMs = options.everyMs ?? 1_000
    const headEveryMs = options.headEveryMs ?? HEAD_EVERY_MS
    const missingForMs = options.missingForMs ?? MISSING_FOR_MS
    const owner = `${service}-${randomUUID()}`
    const mysql = yield* Mysql
    const { sql } = mysql
    const columns = sql.literal(AuditChain.columns)
    const seconds = sql.literal(String(LEASE_S))

    let lease: Lease | undefined
    let renewAtMs = 0
    /** The highest id that was met. */
    let high = 0
    /** Ids below it that weren't there yet, and since when (performance.now). */
    const missing = new Map<number, number>()
    let staleAtMs = 0
    let floor = 0
    let headAtMs = 0

    // ---- the lease

    const acquire = mysql.transaction(
      "audit.acquire",
      Effect.gen(function* () {
        const [free] = yield* sql<{ epoch: number; floor_id: number }>`
          SELECT epoch, floor_id FROM audit_lease
          WHERE id = 1 AND (expires_at <= UTC_TIMESTAMP(3) OR owner = ${owner}) FOR UPDATE SKIP LOCKED`
        if (free === undefined) return undefined
        yield* sql`
          UPDATE audit_lease SET owner = ${owner}, epoch = epoch + 1,
            expires_at = UTC_TIMESTAMP(3) + INTERVAL ${seconds} SECOND
          WHERE id = 1`
        return { epoch: free.epoch + 1, floorId: free.floor_id }
      }),
    )

    const locked = (held: Lease) =>
      Effect.filterOrFail(
        sql`SELECT id FROM audit_lease WHERE id = 1 AND owner = ${owner} AND epoch = ${held.epoch} FOR UPDATE`,
        (rows) => rows.length === 1,
        () => new LeaseLost({ owner }),
      )

    const renew = (held: Lease) =>
      mysql.transaction(
        "audit.renew",
        Effect.zipRight(
          locked(held),
          sql`
            UPDATE audit_lease
            SET expires_at = UTC_TIMESTAMP(3) + INTERVAL ${seconds} SECOND, floor_id = GREATEST(floor_id, ${floor})
            WHERE id = 1`,
        ),
      )

    /** True while we hold the lease, to the best of our knowledge. */
    const hold = Effect.gen(function* () {
      const nowMs = performance.now()
      if (nowMs < renewAtMs) return lease !== undefined
      if (lease === undefined) {
        const taken = yield* acquire
        if (taken !== undefined) {
          lease = { epoch: taken.epoch }
          high = taken.floorId
          floor = taken.floorId
          missing.clear()
          headAtMs = 0
        }
      } else yield* renew(lease)
      renewAtMs = nowMs + RENEW_MS
      return lease !== undefined
    })

    // ---- sealing

    const later = sql.literal(`
      SELECT ${AuditChain.columns}, s.seq IS NOT NULL AS sealed
      FROM audit a FORCE INDEX (PRIMARY) LEFT JOIN audit_seal s ON s.audit_id = a.id`)

    const readNew = mysql.run(
      "audit.read",
      Effect.suspend(
        () => sql<Candidate>`
          ${later} WHERE a.id > ${high} ORDER BY a.id LIMIT ${sql.literal(String(ROWS_A_BATCH))}`,
      ),
    )

    const readMissing = Effect.suspend(() => {
      const nowMs = performance.now()
      for (const [id, sinceMs] of missing) if (nowMs - sinceMs > missingForMs) missing.delete(id)
      const all = nowMs >= staleAtMs
      if (all) staleAtMs = nowMs + STALE_EVERY_MS
      const wanted = [...missing].flatMap(([id, sinceMs]) => (all || nowMs - sinceMs < FRESH_MS ? [id] : []))
      return wanted.length === 0
        ? Effect.succeed([])
        : mysql.run(
            "audit.read_missing",
            sql<Candidate>`
              SELECT STRAIGHT_JOIN ${columns}, s.seq IS NOT NULL AS sealed
              FROM JSON_TABLE(${JSON.stringify(wanted)}, '$[*]' COLUMNS (id BIGINT UNSIGNED PATH '$')) j
              JOIN audit a FORCE INDEX (PRIMARY) ON a.id = j.id LEFT JOIN audit_seal s ON s.audit_id = a.id
              ORDER BY a.id`,
          )
    })

    const last = Effect.map(
      sql<{ seq: number; hash: string }>`SELECT seq, hash FROM audit_seal ORDER BY seq DESC LIMIT 1`,
      ([row]) => row ?? { seq: 0, hash: AuditChain.genesis(service) },
    )

    const seal = (held: Lease, rows: ReadonlyArray<AuditChain.StoredRow>) =>
      mysql.transaction(
        "audit.seal",
        Effect.gen(function* () {
          yield* locked(held)
          let { seq, hash } = yield* last
          const seals = rows.map((row) => {
            seq++
            hash = AuditChain.link(hash, seq, row)
            return [seq, row.id, hash]
          })
          yield* sql`
            INSERT INTO audit_seal (seq, audit_id, hash)
            SELECT j.seq, j.audit_id, j.hash
            FROM JSON_TABLE(${JSON.stringify(seals)}, '$[*]' COLUMNS (
              seq BIGINT UNSIGNED PATH '$[0]', audit_id BIGINT UNSIGNED PATH '$[1]',
              hash CHAR(64) CHARACTER SET ascii COLLATE ascii_bin PATH '$[2]')) j`
        }),
      )

    /** Remembers the ids that a page passed over, and how far it went. Only after its rows were sealed: else they are read again. */
    const note = (page: ReadonlyArray<Candidate>): void => {
      const nowMs = performance.now()
      for (const { id } of page) {
        for (let gone = Math.max(high + 1, id - MAX_MISSING); gone < id; gone++) missing.set(gone, nowMs)
        high = id
      }
      // A map keeps its order: the first ones are those that have been missing longest.
      for (const gone of missing.keys()) {
        if (missing.size <= MAX_MISSING) break
        missing.delete(gone)
      }
    }

    const sealAll = (held: Lease) =>
      Effect.gen(function* () {
        for (let batches = 0; batches < BATCHES_A_ROUND; batches++) {
          const late = batches === 0 ? yield* readMissing : []
          const page = yield* readNew
          const due = [...late, ...page].filter(({ sealed }) => sealed === 0)
          if (due.length > 0) yield* seal(held, due)
          for (const { id } of late) missing.delete(id)
          note(page)
          let lowest = high + 1
          for (const id of missing.keys()) lowest = Math.min(lowest, id)
          floor = Math.max(floor, lowest - 1)
          if (page.length < ROWS_A_BATCH) return true
        }
        return false
      })

    // ---- heads

    /** The service's last line in the file; the chain's end; the hash that the line's link has now. */
    const standing = Effect.gen(function* () {
      const lines = (yield* HeadFile.read(headFile)).filter(({ head }) => head?.service === service)
      const before = lines.at(-1)
      const now = yield* mysql.run(
        "audit.head",
        Effect.gen(function* () {
          const [signed] =
            before?.head === undefined || before.head.seq === 0
              ? []
              : yield* sql<{ hash: string }>`SELECT hash FROM audit_seal WHERE seq = ${before.head.seq}`
          const [clock] = yield* sql<{ ms: number }>`
            SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(3)) DIV 1000 AS ms`
          return { ...(yield* last), atMs: clock!.ms, signed: signed?.hash }
        }),
      )
      return { before, now }
    })

    /** Signs the head if it is time, or, when `always`, if there is anything that wasn't signed. */
    const head = (always: boolean) =>
      Effect.gen(function* () {
        if (!always && performance.now() < headAtMs) return
        headAtMs = performance.now() + HEAD_RETRY_MS
        const { before, now } = yield* standing
        const previous = before?.head
        if (previous !== undefined && previous.seq > 0 && now.signed !== previous.hash) {
          return yield* Effect.logError(
            `the audit chain isn't the one that was signed at ${new Date(previous.at_ms).toISOString()}: it is not signed again until somebody has looked (stack audit verify)`,
          )
        }
        const dueMs = previous === undefined ? 0 : previous.at_ms + headEveryMs - now.atMs
        if (always ? previous?.seq === now.seq : dueMs > 0) {
          headAtMs = performance.now() + Math.max(0, dueMs)
          return
        }
        yield* HeadFile.append(
          headFile,
          AuditHead.format(
            {
              service,
              seq: now.seq,
              hash: now.hash,
              at_ms: now.atMs,
              previous: before === undefined ? "" : AuditHead.fingerprint(before.text),
            },
            key,
          ),
        )
        headAtMs = performance.now() + headEveryMs
      }).pipe(
        Effect.catchTag("HeadFileFailed", (error) =>
          Effect.logError("the audit head can't be signed", error),
        ),
      )

    // ---- going on

    const round: Effect.Effect<void, MysqlError> = Effect.gen(function* () {
      if (!(yield* hold) || lease === undefined) return
      if (yield* sealAll(lease)) yield* head(false)
    }).pipe(
      Effect.catchTag("LeaseLost", () =>
        Effect.sync(() => {
          lease = undefined
        }),
      ),
    )

    const persist = Effect.gen(function* () {
      let failures = 0
      while (true) {
        const exit = yield* Effect.exit(round)
        if (exit._tag === "Success") {
          failures = 0
          yield* Effect.sleep(everyMs)
          continue
        }
        failures++
        if (failures === 1 || failures % 30 === 0) {
          yield* Effect.logWarning(
            `sealing the audit trail failed ${failures} times, tries again`,
            exit.cause,
          )
        }
        yield* Effect.sleep(Math.min(BACKOFF_MAX_MS, BACKOFF_MIN_MS * 2 ** Math.min(failures, 5)))
      }
    })

    const finish = Effect.gen(function* () {
      if (lease === undefined) return
      yield* sealAll(lease)
      yield* head(true)
      yield* renew(lease)
    }).pipe(Effect.interruptible, Effect.timeout(FINISH_MS), Effect.ignoreLogged)

    const release = Effect.suspend(() =>
      lease === undefined
        ? Effect.void
        : mysql.run(
            "audit.release",
            sql`
              UPDATE audit_lease SET owner = '', expires_at = '1970-01-02 00:00:00.000'
              WHERE id = 1 AND owner = ${owner} AND epoch = ${lease.epoch}`,
          ),
    ).pipe(Effect.interruptible, Effect.timeout(RELEASE_MS), Effect.ignore)

    const sample = mysql
      .run(
        "audit.sample",
        sql<{ rows_waiting: number; oldest_ms: number | null }>`
          SELECT COUNT(*) AS rows_waiting,
            TIMESTAMPDIFF(MICROSECOND, MIN(at), UTC_TIMESTAMP(3)) DIV 1000 AS oldest_ms
          FROM (
            SELECT a.at FROM audit a FORCE INDEX (PRIMARY) LEFT JOIN audit_seal s ON s.audit_id = a.id
            WHERE a.id > (SELECT floor_id FROM audit_lease WHERE id = 1) AND s.seq IS NULL
            LIMIT ${sql.literal(String(AuditMetrics.MAX_COUNTED))}
          ) AS waiting`,
      )
      .pipe(
        Effect.tap((rows) =>
          Effect.sync(() => {
            const [found] = rows
            AuditMetrics.unsealed.set({}, found?.rows_waiting ?? 0)
            AuditMetrics.oldest.set({}, Math.max(0, found?.oldest_ms ?? 0) / 1_000)
          }),
        ),
      )
    yield* Sampler.make("the audit trail", sample)

    yield* Effect.addFinalizer(() => Effect.zipRight(finish, release).pipe(Effect.withTracerEnabled(false)))
    yield* Effect.forkScoped(persist.pipe(Effect.withTracerEnabled(false)))
  }).pipe(Effect.annotateLogs({ sealer: options.service }))

/** Seals the trail of the database at hand for as long as the service lives. */
export const layer = (options: {
  readonly service: string
}): Layer.Layer<never, AppConfig.ConfigInvalid, Mysql> =>
  Layer.scopedDiscard(
    Effect.flatMap(AppConfig.load(AuditConfig.config), (config) => make({ ...config, ...options })),
  )
