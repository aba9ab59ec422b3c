/**
 * The chain over audit rows: each row's hash is made of the hash before it and of everything the row says, so that no
 * row can be changed, taken out or slipped in without every later hash being another. Pure.
 */
import { createHash } from "node:crypto"

/** An audit row as the chain takes it: every column as text, as the database holds it. */
export interface StoredRow {
  readonly id: number
  /** `YYYY-MM-DD hh:mm:ss.mmm`, UTC. */
  readonly at: string
  readonly actor_id: number
  readonly action: string
  readonly target_type: string
  readonly target_id: string
  readonly before_json: string | null
  readonly after_json: string | null
  readonly reason: string
  readonly trace_id: string | null
  readonly request_id: string | null
}

/** The columns of a StoredRow, of the table `a`; `at` by an explicit format, so that no driver or engine has a say. */
export const columns = `a.id, CAST(a.at AS CHAR(23)) AS at, a.actor_id, a.action, a.target_type, a.target_id,
  a.before_json, a.after_json, a.reason, a.trace_id, a.request_id`

/** What stands before the first link. It names the service, so that one's chain can't pass for another's. */
export const genesis = (service: string): string =>
  createHash("sha256").update(`floodgate audit chain 1: ${service}`).digest("hex")

/** A list of JSON texts is unambiguous: no two rows at two places have the same. */
const canonical = (seq: number, row: StoredRow): string =>
  JSON.stringify([
    seq,
    row.id,
    row.at,
    row.actor_id,
    row.action,
    row.target_type,
    row.target_id,
    row.before_json,
    row.after_json,
    row.reason,
    row.trace_id,
    row.request_id,
  ])

/** The hash of link `seq` (from 1), 64 hex digits: SHA-256(`before` as bytes ‖ the row). */
export const link = (before: string, seq: number, row: StoredRow): string =>
  createHash("sha256").update(Buffer.from(before, "hex")).update(canonical(seq, row)).digest("hex")

/** A stored row's `at` as Unix ms. */
export const atMs = (row: Pick<StoredRow, "at">): number => Date.parse(`${row.at.replace(" ", "T")}Z`)
