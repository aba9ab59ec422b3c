/** Rules, address lists and decisions in the edge's own database; every change of the first two is audited. */
import { type Busy, InvalidInput, NotFound, StaleVersion } from "@floodgate/contracts/errors/Errors"
import type { Decision, ListName, Mode, RiskRoute, RuleKind } from "@floodgate/contracts/http/Risk"
import { ruleKinds } from "@floodgate/contracts/http/Risk"
import * as Audit from "@floodgate/runtime/audit/Audit"
import * as Mysql from "@floodgate/runtime/mysql/Mysql"
import { orBusy } from "@floodgate/runtime/resilience/OrBusy"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

/** There are never more rules than this: each is looked at for every click. */
export const MAX_RULES = 100
/** Nor more blocks on lists. */
export const MAX_BLOCKS = 100_000

export interface Rule {
  readonly id: number
  readonly kind: RuleKind
  readonly params: Readonly<Record<string, number>>
  readonly mode: Mode
  readonly enabled: boolean
  readonly productId: number | undefined
  readonly version: number
  readonly updatedMs: number
}

export interface NewRule extends Pick<Rule, "kind" | "params" | "mode" | "enabled" | "productId"> {
  readonly reason: string
  readonly actorId: number
}

export interface RuleChange {
  readonly id: number
  /** What the editor saw; undefined: whatever it is by now. */
  readonly version: number | undefined
  /** The rule as it shall be, given the rule as it is. */
  readonly change: (rule: Rule) => Effect.Effect<Rule, InvalidInput>
  readonly reason: string
  readonly actorId: number
}

export interface Block {
  readonly id: number
  readonly cidr: string
  readonly list: ListName
  readonly reason: string
  readonly expiresMs: number | undefined
  /** Until it expires (ms), by the database's clock when it was read. */
  readonly leftMs: number | undefined
  readonly createdMs: number
  readonly version: number
}

export interface BlockChange {
  readonly cidr: string
  readonly list: ListName
  readonly expiresMs: number | undefined
  readonly version: number | undefined
  readonly reason: string
  readonly actorId: number
}

export interface NewRecord {
  readonly userId: number | undefined
  readonly ip: string | undefined
  readonly deviceKey: string | undefined
  readonly route: RiskRoute
  readonly ruleId: number | undefined
  readonly decision: Decision
  readonly code: number | undefined
  readonly evidence: Readonly<Record<string, unknown>>
}

export interface StoredRecord extends Omit<NewRecord, "evidence"> {
  readonly id: number
  readonly atMs: number
  readonly evidence: unknown
}

/** Newest first, from before the cursor. */
export interface Page {
  readonly beforeId: number | undefined
  readonly fromMs: number | undefined
  readonly toMs: number | undefined
  readonly limit: number
}

export interface RecordFilter extends Page {
  readonly userId: number | undefined
  readonly ip: string | undefined
  readonly deviceKey: string | undefined
  readonly ruleId: number | undefined
  readonly decision: Decision | undefined
}

export class RiskStore extends Context.Tag("@floodgate/edge/risk/RiskStore")<
  RiskStore,
  {
    /** Rises with every change of a rule or a list. */
    readonly revision: Effect.Effect<number, Busy>
    /** Every rule, newest first. */
    readonly rules: Effect.Effect<ReadonlyArray<Rule>, Busy>
    readonly createRule: (rule: NewRule) => Effect.Effect<Rule, InvalidInput | Busy>
    readonly changeRule: (
      change: RuleChange,
    ) => Effect.Effect<Rule, NotFound | StaleVersion | InvalidInput | Busy>
    readonly deleteRule: (
      change: Omit<RuleChange, "change">,
    ) => Effect.Effect<void, NotFound | StaleVersion | Busy>
    /** Every block that has not expired. */
    readonly blocks: Effect.Effect<ReadonlyArray<Block>, Busy>
    readonly listBlocks: (
      page: Page & {
        readonly list: ListName | undefined
        /** Only these. */
        readonly covering: ReadonlyArray<string> | undefined
      },
    ) => Effect.Effect<ReadonlyArray<Block>, Busy>
    /** Puts a block on a list, or moves it there. `cidr` is normalized. */
    readonly putBlock: (change: BlockChange) => Effect.Effect<Block, StaleVersion | InvalidInput | Busy>
    readonly deleteBlock: (
      change: Omit<BlockChange, "list" | "expiresMs">,
    ) => Effect.Effect<void, NotFound | StaleVersion | Busy>
    readonly insertRecords: (records: ReadonlyArray<NewRecord>) => Effect.Effect<void, Busy>
    readonly listRecords: (filter: RecordFilter) => Effect.Effect<ReadonlyArray<StoredRecord>, Busy>
    /** Deletes up to `limit` records older than so many days; says how many. */
    readonly purgeRecords: (days: number, limit: number) => Effect.Effect<number, Busy>
  }
>() {}

interface RuleRow {
  readonly id: number
  readonly kind: string
  readonly params_json: string
  readonly mode: string
  readonly enabled: number
  readonly product_id: number | null
  readonly version: number
  readonly updated_ms: number
}

interface BlockRow {
  readonly id: number
  readonly cidr: string
  readonly list: string
  readonly reason: string
  readonly expires_ms: number | null
  readonly left_ms: number | null
  readonly created_ms: number
  readonly version: number
}

interface RecordRow {
  readonly id: number
  readonly at_ms: number
  readonly user_id: number | null
  readonly ip: string | null
  readonly device_id: string | null
  readonly route: string
  readonly rule_id: number | null
  readonly decision: string
  readonly code: number | null
  readonly evidence_json: string
}

const known: ReadonlySet<string> = new Set(ruleKinds)

const ruleOf = (row: RuleRow): Rule => ({
  id: row.id,
  kind: row.kind as RuleKind,
  params: JSON.parse(row.params_json),
  mode: row.mode as Mode,
  enabled: row.enabled === 1,
  productId: row.product_id ?? undefined,
  version: row.version,
  updatedMs: row.updated_ms,
})

const blockOf = (row: BlockRow): Block => ({
  id: row.id,
  cidr: row.cidr,
  list: row.list as ListName,
  reason: row.reason,
  expiresMs: row.expires_ms ?? undefined,
  leftMs: row.left_ms ?? undefined,
  createdMs: row.created_ms,
  version: row.version,
})

const recordOf = (row: RecordRow): StoredRecord => ({
  id: row.id,
  atMs: row.at_ms,
  userId: row.user_id ?? undefined,
  ip: row.ip ?? undefined,
  deviceKey: row.device_id ?? undefined,
  route: row.route as RiskRoute,
  ruleId: row.rule_id ?? undefined,
  decision: row.decision as Decision,
  code: row.code ?? undefined,
  evidence: JSON.parse(row.evidence_json),
})

/** What the trail keeps of a rule. */
const ruleState = ({ enabled, kind, mode, params, productId }: Rule | NewRule) => ({
  kind,
  params,
  mode,
  enabled,
  ...(productId === undefined ? undefined : { product_id: productId }),
})

const blockState = ({ expires_ms, list }: BlockRow) => ({
  list,
  expires_at: expires_ms === null ? null : new Date(expires_ms).toISOString(),
})

export const make = Effect.gen(function* () {
  const mysql = yield* Mysql.Mysql
  const { sql } = mysql
  const msOf = (column: string) => `TIMESTAMPDIFF(MICROSECOND, '1970-01-01', ${column}) DIV 1000`
  const ruleColumns = sql.literal(
    `id, kind, params_json, mode, enabled, product_id, version, ${msOf("updated_at")} AS updated_ms`,
  )
  const blockColumns = sql.literal(
    `id, cidr, list, reason, ${msOf("expires_at")} AS expires_ms,
     TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(3), expires_at) DIV 1000 AS left_ms,
     ${msOf("created_at")} AS created_ms, version`,
  )
  const recordColumns = sql.literal(
    `id, ${msOf("at")} AS at_ms, user_id, ip, device_id, route, rule_id, decision, code, evidence_json`,
  )
  const at = (ms: number | undefined) =>
    ms === undefined
      ? sql`NULL`
      : sql`TIMESTAMPADD(MICROSECOND, ${sql.literal(String(Math.trunc(ms) * 1_000))}, '1970-01-01 00:00:00.000')`
  const limit = (n: number) => sql.literal(String(Math.trunc(n)))

  const revision = mysql
    .run(
      "risk.revision",
      sql<{ readonly revision: number }>`SELECT revision FROM setting_revision WHERE name = 'risk'`,
    )
    .pipe(
      Effect.map((rows) => rows[0]?.revision ?? 0),
      (self) => orBusy(self),
    )

  const rules = mysql
    .run(
      "risk.rules",
      sql<RuleRow>`SELECT ${ruleColumns} FROM risk_rule ORDER BY id DESC LIMIT ${limit(MAX_RULES)}`,
    )
    .pipe(
      // A newer edge may know kinds that this one doesn't.
      Effect.map((rows) => rows.filter(({ kind }) => known.has(kind)).map(ruleOf)),
      (self) => orBusy(self),
    )

  /** A transaction that changes settings: one at a time, since each takes this row first. */
  const changing = <A, E>(op: string, self: Effect.Effect<A, E, Mysql.Mysql>) =>
    mysql
      .transaction(
        op,
        Effect.zipRight(sql`UPDATE setting_revision SET revision = revision + 1 WHERE name = 'risk'`, self),
      )
      .pipe(Effect.provideService(Mysql.Mysql, mysql), Mysql.retryConflicts, (tried) => orBusy(tried))

  const readRule = (id: number) => sql<RuleRow>`SELECT ${ruleColumns} FROM risk_rule WHERE id = ${id}`
  const readBlock = (cidr: string) => sql<BlockRow>`SELECT ${blockColumns} FROM ip_list WHERE cidr = ${cidr}`

  const fresh = (row: { readonly version: number }, seen: number | undefined) =>
    seen === undefined || seen === row.version
      ? Effect.void
      : Effect.fail(new StaleVersion({ version: row.version }))

  const createRule = Effect.fn("RiskStore.createRule")(function* (rule: NewRule) {
    return yield* changing(
      "risk.createRule",
      Effect.gen(function* () {
        const [{ count } = { count: 0 }] = yield* sql<{
          readonly count: number
        }>`SELECT COUNT(*) AS count FROM risk_rule`
        if (count >= MAX_RULES) return yield* InvalidInput.at("", `there are ${MAX_RULES} rules already`)
        const { insertId } = yield* Mysql.affected(sql`INSERT INTO risk_rule
          (kind, params_json, mode, enabled, product_id, version, updated_at)
          VALUES (${rule.kind}, ${JSON.stringify(rule.params)}, ${rule.mode}, ${rule.enabled ? 1 : 0},
            ${rule.productId ?? null}, 1, UTC_TIMESTAMP(3))`)
        yield* Audit.append([
          {
            actorId: rule.actorId,
            action: "risk_rule.create",
            targetType: "risk_rule",
            targetId: insertId,
            after: ruleState(rule),
            reason: rule.reason,
          },
        ])
        const [created] = yield* readRule(insertId)
        return ruleOf(created!)
      }),
    )
  })

  const changeRule = Effect.fn("RiskStore.changeRule")(function* (wish: RuleChange) {
    return yield* changing(
      "risk.changeRule",
      Effect.gen(function* () {
        const [row] = yield* readRule(wish.id)
        if (row === undefined) return yield* new NotFound({})
        yield* fresh(row, wish.version)
        const before = ruleOf(row)
        const after = yield* wish.change(before)
        yield* sql`UPDATE risk_rule SET params_json = ${JSON.stringify(after.params)}, mode = ${after.mode},
          enabled = ${after.enabled ? 1 : 0}, product_id = ${after.productId ?? null},
          version = version + 1, updated_at = UTC_TIMESTAMP(3) WHERE id = ${wish.id}`
        yield* Audit.append([
          {
            actorId: wish.actorId,
            action: "risk_rule.change",
            targetType: "risk_rule",
            targetId: wish.id,
            before: ruleState(before),
            after: ruleState(after),
            reason: wish.reason,
          },
        ])
        const [changed] = yield* readRule(wish.id)
        return ruleOf(changed!)
      }),
    )
  })

  const deleteRule = Effect.fn("RiskStore.deleteRule")(function* (wish: Omit<RuleChange, "change">) {
    yield* changing(
      "risk.deleteRule",
      Effect.gen(function* () {
        const [row] = yield* readRule(wish.id)
        if (row === undefined) return yield* new NotFound({})
        yield* fresh(row, wish.version)
        yield* sql`DELETE FROM risk_rule WHERE id = ${wish.id}`
        yield* Audit.append([
          {
            actorId: wish.actorId,
            action: "risk_rule.delete",
            targetType: "risk_rule",
            targetId: wish.id,
            before: ruleState(ruleOf(row)),
            reason: wish.reason,
          },
        ])
      }),
    )
  })

  const blocks = mysql
    .run(
      "risk.blocks",
      sql<BlockRow>`SELECT ${blockColumns} FROM ip_list
        WHERE expires_at IS NULL OR expires_at > UTC_TIMESTAMP(3)
        ORDER BY id LIMIT ${limit(MAX_BLOCKS)}`,
    )
    .pipe(
      Effect.map((rows) => rows.map(blockOf)),
      (self) => orBusy(self),
    )

  const listBlocks = Effect.fn("RiskStore.listBlocks")(
    function* (filter: Parameters<RiskStore["Type"]["listBlocks"]>[0]) {
      const rows = yield* mysql.run(
        "risk.listBlocks",
        sql<BlockRow>`SELECT ${blockColumns} FROM ip_list WHERE ${sql.and([
          sql`(expires_at IS NULL OR expires_at > UTC_TIMESTAMP(3))`,
          ...(filter.list === undefined ? [] : [sql`list = ${filter.list}`]),
          ...(filter.covering === undefined ? [] : [sql.in("cidr", filter.covering)]),
          ...(filter.fromMs === undefined ? [] : [sql`created_at >= ${at(filter.fromMs)}`]),
          ...(filter.toMs === undefined ? [] : [sql`created_at < ${at(filter.toMs)}`]),
          ...(filter.beforeId === undefined ? [] : [sql`id < ${filter.beforeId}`]),
        ])} ORDER BY id DESC LIMIT ${limit(filter.limit)}`,
      )
      return rows.map(blockOf)
    },
    (self) => orBusy(self),
  )

  const putBlock = Effect.fn("RiskStore.putBlock")(function* (wish: BlockChange) {
    return yield* changing(
      "risk.putBlock",
      Effect.gen(function* () {
        const [row] = yield* readBlock(wish.cidr)
        if (row === undefined) {
          const [{ count } = { count: 0 }] = yield* sql<{
            readonly count: number
          }>`SELECT COUNT(*) AS count FROM ip_list`
          if (count >= MAX_BLOCKS) return yield* InvalidInput.at("", `there are ${MAX_BLOCKS} blocks already`)
          if (wish.version !== undefined) return yield* new StaleVersion({ version: 0 })
          yield* sql`INSERT INTO ip_list (cidr, list, reason, expires_at, version, created_at)
            VALUES (${wish.cidr}, ${wish.list}, ${wish.reason}, ${at(wish.expiresMs)}, 1, UTC_TIMESTAMP(3))`
        } else {
          yield* fresh(row, wish.version)
          yield* sql`UPDATE ip_list SET list = ${wish.list}, reason = ${wish.reason},
            expires_at = ${at(wish.expiresMs)}, version = version + 1 WHERE cidr = ${wish.cidr}`
        }
        const [changed] = yield* readBlock(wish.cidr)
        yield* Audit.append([
          {
            actorId: wish.actorId,
            action: "ip_list.put",
            targetType: "ip_list",
            targetId: wish.cidr,
            ...(row === undefined ? undefined : { before: blockState(row) }),
            after: blockState(changed!),
            reason: wish.reason,
          },
        ])
        return blockOf(changed!)
      }),
    )
  })

  const deleteBlock = Effect.fn("RiskStore.deleteBlock")(function* (
    wish: Omit<BlockChange, "list" | "expiresMs">,
  ) {
    yield* changing(
      "risk.deleteBlock",
      Effect.gen(function* () {
        const [row] = yield* readBlock(wish.cidr)
        if (row === undefined) return yield* new NotFound({})
        yield* fresh(row, wish.version)
        yield* sql`DELETE FROM ip_list WHERE cidr = ${wish.cidr}`
        yield* Audit.append([
          {
            actorId: wish.actorId,
            action: "ip_list.delete",
            targetType: "ip_list",
            targetId: wish.cidr,
            before: blockState(row),
            reason: wish.reason,
          },
        ])
      }),
    )
  })

  const insertRecords = Effect.fn("RiskStore.insertRecords")(
    function* (records: ReadonlyArray<NewRecord>) {
      if (records.length === 0) return
      const rows = records.map((record) => ({
        user_id: record.userId ?? null,
        ip: record.ip ?? null,
        device_id: record.deviceKey ?? null,
        route: record.route,
        rule_id: record.ruleId ?? null,
        decision: record.decision,
        code: record.code ?? null,
        evidence: JSON.stringify(record.evidence),
      }))
      // One prepared text for any number of rows.
      yield* mysql.run(
        "risk.insertRecords",
        sql`INSERT INTO risk_record (at, user_id, ip, device_id, route, rule_id, decision, code, evidence_json)
          SELECT UTC_TIMESTAMP(3), r.user_id, r.ip, r.device_id, r.route, r.rule_id, r.decision, r.code, r.evidence
          FROM JSON_TABLE(${JSON.stringify(rows)}, '$[*]' COLUMNS (
            user_id BIGINT UNSIGNED PATH '$.user_id', ip VARCHAR(45) PATH '$.ip',
            device_id VARCHAR(64) PATH '$.device_id', route VARCHAR(16) PATH '$.route',
            rule_id BIGINT UNSIGNED PATH '$.rule_id', decision VARCHAR(16) PATH '$.decision',
            code SMALLINT UNSIGNED PATH '$.code', evidence VARCHAR(1000) PATH '$.evidence')) AS r`,
      )
    },
    (self) => orBusy(self),
  )

  const listRecords = Effect.fn("RiskStore.listRecords")(
    function* (filter: RecordFilter) {
      const rows = yield* mysql.run(
        "risk.listRecords",
        sql<RecordRow>`SELECT ${recordColumns} FROM risk_record WHERE ${sql.and([
          sql`id > 0`,
          ...(filter.userId === undefined ? [] : [sql`user_id = ${filter.userId}`]),
          ...(filter.ip === undefined ? [] : [sql`ip = ${filter.ip}`]),
          ...(filter.deviceKey === undefined ? [] : [sql`device_id = ${filter.deviceKey}`]),
          ...(filter.ruleId === undefined ? [] : [sql`rule_id = ${filter.ruleId}`]),
          ...(filter.decision === undefined ? [] : [sql`decision = ${filter.decision}`]),
          ...(filter.fromMs === undefined ? [] : [sql`at >= ${at(filter.fromMs)}`]),
          ...(filter.toMs === undefined ? [] : [sql`at < ${at(filter.toMs)}`]),
          ...(filter.beforeId === undefined ? [] : [sql`id < ${filter.beforeId}`]),
        ])} ORDER BY id DESC LIMIT ${limit(filter.limit)}`,
      )
      return rows.map(recordOf)
    },
    (self) => orBusy(self),
  )

  const purgeRecords = (days: number, most: number) =>
    mysql
      .run(
        "risk.purgeRecords",
        Mysql.affected(
          sql`DELETE FROM risk_record WHERE at < UTC_TIMESTAMP(3) - INTERVAL ${limit(days)} DAY
            ORDER BY at LIMIT ${limit(most)}`,
        ),
      )
      .pipe(
        Effect.map(({ affectedRows }) => affectedRows),
        (self) => orBusy(self),
      )

  return RiskStore.of({
    revision,
    rules,
    createRule,
    changeRule,
    deleteRule,
    blocks,
    listBlocks,
    putBlock,
    deleteBlock,
    insertRecords,
    listRecords,
    purgeRecords,
  })
})

export const layer = Layer.effect(RiskStore, make)
