/** Reads a service's audit trail page by page and verifies it. */
import * as Effect from "effect/Effect"
import { Mysql } from "../mysql/Mysql.ts"
import type { MysqlError } from "../mysql/MysqlError.ts"
import * as AuditChain from "./AuditChain.ts"
import * as Verify from "./Verify.ts"

const LINKS_A_PAGE = 1_000
const IDS_A_PAGE = 5_000

/**
 * Verifies the trail in the database at hand; it may be in use meanwhile. `heads` are the service's checked ones, read
 * before: a head that is signed later may speak of links that aren't looked at.
 */
export const run = (options: {
  readonly service: string
  readonly heads: ReadonlyArray<Verify.CheckedHead>
}): Effect.Effect<Verify.Report, MysqlError, Mysql> =>
  Effect.gen(function* () {
    const mysql = yield* Mysql
    const { sql } = mysql
    const { service, heads } = options
    const columns = sql.literal(AuditChain.columns)
    const page = <A>(op: string, read: Effect.Effect<A, any>) =>
      mysql.run(`audit.verify.${op}`, read, { deadlineMs: 30_000 })

    const tables = yield* page(
      "tables",
      sql<{ name: string }>`
        SELECT table_name AS name FROM information_schema.tables
        WHERE table_schema = DATABASE() AND table_name IN ('audit', 'audit_seal', 'audit_lease')`,
    )
    if (tables.length < 3) {
      const verifier = Verify.begin({ service, heads: [], floorId: 0 })
      const detail = "the tables audit, audit_seal and audit_lease aren't all there"
      return {
        ...verifier.end(),
        heads: heads.length,
        findings: [{ kind: "table_missing", service, detail }],
        found: 1,
      } satisfies Verify.Report
    }

    const [lease] = yield* page("lease", sql<{ floor_id: number }>`SELECT floor_id FROM audit_lease`)
    const [end] = yield* page(
      "end",
      sql<{ seq: number | null; id: number | null }>`
        SELECT (SELECT MAX(seq) FROM audit_seal) AS seq, (SELECT MAX(id) FROM audit) AS id`,
    )
    const lastSeq = end?.seq ?? 0
    const lastId = end?.id ?? 0
    const verifier = Verify.begin({ service, heads, floorId: lease?.floor_id ?? 0 })

    for (let after = 0; after < lastSeq; ) {
      const links = yield* page(
        "links",
        sql<
          { seq: number; sealed_id: number; hash: string } & {
            readonly [K in keyof AuditChain.StoredRow]: any
          }
        >`
          SELECT s.seq, s.audit_id AS sealed_id, s.hash, ${columns}
          FROM audit_seal s LEFT JOIN audit a ON a.id = s.audit_id
          WHERE s.seq > ${after} AND s.seq <= ${lastSeq} ORDER BY s.seq LIMIT ${sql.literal(String(LINKS_A_PAGE))}`,
      )
      for (const { seq, sealed_id, hash, ...row } of links) {
        verifier.link({ seq, audit_id: sealed_id, hash, row: row.id === null ? undefined : row })
      }
      after = links.at(-1)?.seq ?? lastSeq
    }

    for (let after = 0; after < lastId; ) {
      // By pages of ids, sealed or not: so that no single query is as long as the trail.
      const [until] = yield* page(
        "ids",
        sql<{ id: number | null }>`
          SELECT MAX(id) AS id FROM (
            SELECT id FROM audit WHERE id > ${after} ORDER BY id LIMIT ${sql.literal(String(IDS_A_PAGE))}) part`,
      )
      const to = until?.id ?? lastId
      const loose = yield* page(
        "loose",
        sql<AuditChain.StoredRow>`
          SELECT ${columns} FROM audit a LEFT JOIN audit_seal s ON s.audit_id = a.id
          WHERE a.id > ${after} AND a.id <= ${to} AND s.seq IS NULL ORDER BY a.id`,
      )
      for (const row of loose) verifier.loose(row)
      after = to
    }
    return verifier.end()
  })
