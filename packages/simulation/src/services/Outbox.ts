/** The outbox of a database and its relays, as `runtime/outbox` has them; the Sale has two buckets in place of 16. */
import { stableHash } from "@floodgate/runtime/event-bus/StableHash"
import { PARTITIONS, type Topic } from "../engine/Broker.ts"
import type { Transaction } from "../engine/Mysql.ts"
import { Away, type Task } from "../engine/Task.ts"
import type { Outbox, OutboxLease, World } from "../World.ts"

export const BUCKETS = 2
const LEASE_MS = 6_000
const TRUST_MS = 5_000
const ROWS_A_BATCH = 3
const BACKOFF_MS = 100

/** Adds an event to the caller's transaction. */
export const append = (
  w: World,
  tx: Transaction,
  outbox: Outbox,
  row: { readonly topic: Topic; readonly aggregate: string; readonly type: string; readonly value: unknown },
): void => {
  const id = w.db.nextId()
  tx.put(outbox.rows, String(id), {
    ...row,
    id,
    bucket: stableHash(row.aggregate) % BUCKETS,
    sent_at: null,
  })
}

export const partitionOf = (key: string): number => stableHash(`partition of ${key}`) % PARTITIONS

const unsentOf = (outbox: Outbox, bucket: number) =>
  outbox.rows
    .values()
    .filter((row) => row.bucket === bucket && row.sent_at === null)
    .sort((a, b) => a.id - b.id)

/** One relay, until it is killed. */
export function* relay(w: World, name: string, outbox: Outbox): Task<void> {
  const me = w.holderOf(name)
  const leases = () => outbox.leases.values()
  const isFree = (lease: OutboxLease) =>
    lease.owner === "" || (lease.owner !== me && w.lastAlive(lease.owner) + LEASE_MS <= w.now)
  const owned = () => leases().filter((lease) => lease.owner === me)
  let held = new Map<number, OutboxLease>()
  let trustedUntil = 0
  let mark: { readonly at: number; readonly passed: () => boolean } | undefined
  const holds = (lease: OutboxLease) => w.now < trustedUntil && held.get(lease.bucket)?.epoch === lease.epoch
  const hasWork = () =>
    leases().some(isFree) ||
    owned().some((lease) => lease.bus !== w.broker.life || unsentOf(outbox, lease.bucket).length > 0) ||
    (mark?.passed() ?? false)

  while (true) {
    yield { what: "finds something to do", until: hasWork }
    try {
      if (leases().some(isFree)) {
        yield* w.db.transaction(`${outbox.name} outbox buckets are taken`, function* (tx) {
          for (const lease of tx.values(outbox.leases)) {
            if (isFree(lease) && tx.skipLocked(outbox.leases, String(lease.bucket)))
              tx.put(outbox.leases, String(lease.bucket), { ...lease, owner: me, epoch: lease.epoch + 1 })
          }
          yield* tx.statement("reads which buckets were taken")
        })
      }
      const asked = w.now
      held = yield* w.db.read("reads the buckets it holds", () => new Map(owned().map((l) => [l.bucket, l])))
      trustedUntil = asked + TRUST_MS
      for (const lease of [...held.values()]) {
        const { life } = w.broker
        if (lease.bus === life) continue
        const key = String(lease.bucket)
        const isMine = () => outbox.leases.get(key)!.epoch === lease.epoch
        if (lease.bus !== 0) {
          yield* w.db.write("marks rows since the checkpoint unsent: the bus began another life", () => {
            const since = outbox.leases.get(key)!.checkpoint_at
            for (const row of outbox.rows.values()) {
              if (row.bucket === lease.bucket && row.sent_at !== null && row.sent_at >= since && isMine())
                outbox.rows.rows.set(String(row.id), { ...row, sent_at: null })
            }
          })
        }
        if (!holds(lease)) continue
        yield* w.db.write("adopts the bus' life", () => {
          if (isMine()) outbox.leases.rows.set(key, { ...outbox.leases.get(key)!, bus: life })
        })
        held.set(lease.bucket, { ...lease, bus: life })
      }
      for (const lease of [...held.values()]) {
        while (holds(lease) && held.get(lease.bucket)!.bus !== 0) {
          const rows = yield* w.db.read("reads unsent rows", () =>
            unsentOf(outbox, lease.bucket).slice(0, ROWS_A_BATCH),
          )
          if (rows.length === 0 || !holds(lease)) break
          yield* w.broker.publish(
            `publishes ${rows.map((row) => row.type).join(", ")}`,
            rows.map((row) => [
              row.topic,
              partitionOf(row.aggregate),
              { type: row.type, key: row.aggregate, value: row.value },
            ]),
          )
          const marked = yield* w.db.write("marks them sent", () => {
            if (w.has("outbox-lease-epoch") && outbox.leases.get(String(lease.bucket))!.epoch !== lease.epoch)
              return false
            for (const row of rows) {
              const stored = outbox.rows.get(String(row.id))!
              if (stored.sent_at === null) outbox.rows.rows.set(String(row.id), { ...stored, sent_at: w.now })
            }
            return true
          })
          if (!marked) {
            held.delete(lease.bucket)
            break
          }
        }
      }
      if (mark === undefined) mark = { at: w.now, passed: w.broker.checkpoint() }
      else if (mark.passed()) {
        const { at } = mark
        mark = undefined
        yield* w.db.write("moves the checkpoint", () => {
          for (const lease of owned())
            outbox.leases.rows.set(String(lease.bucket), {
              ...lease,
              checkpoint_at: Math.max(lease.checkpoint_at, at),
            })
        })
      }
    } catch (error) {
      if (!(error instanceof Away)) throw error
      held = new Map()
      yield { what: "tries again", at: w.now + BACKOFF_MS }
    }
  }
}
