/** Reading the audit trail: `ListAudit` of every service. */

import type { MessageInitShape } from "@bufbuild/protobuf"
import { type Busy, Forbidden, InvalidInput } from "@floodgate/contracts/errors/Errors"
import type {
  ListAuditRequest,
  ListAuditResponseSchema,
} from "@floodgate/contracts/gen/floodgate/audit/v1/audit_pb"
import { permits } from "@floodgate/contracts/Roles"
import * as Effect from "effect/Effect"
import type { CallContext } from "../grpc/GrpcServer.ts"
import { Mysql } from "../mysql/Mysql.ts"
import { orBusy } from "../resilience/OrBusy.ts"

const MAX_PAGE = 100
const DEFAULT_PAGE = 20

interface Entry {
  readonly id: number
  readonly at_ms: number
  readonly actor_id: number
  readonly action: string
  readonly target_type: string
  readonly target_id: string
  readonly before_json: string | null
  readonly after_json: string | null
  readonly reason: string
  readonly trace_id: string | null
  readonly hash: string | null
}

/** A page token is the place of the last entry, wrapped so that nobody builds on it. */
const tokenOf = (entry: Entry): string => Buffer.from(`1:${entry.at_ms}:${entry.id}`).toString("base64url")

const TOKEN = /^1:(\d{1,15}):([1-9]\d{0,15})$/

const placeOf = (token: string): Effect.Effect<{ atMs: number; id: number } | undefined, InvalidInput> => {
  if (token === "") return Effect.succeed(undefined)
  const [, atMs, id] = TOKEN.exec(Buffer.from(token, "base64url").toString("latin1")) ?? []
  return atMs !== undefined && id !== undefined && Number.isSafeInteger(Number(id))
    ? Effect.succeed({ atMs: Number(atMs), id: Number(id) })
    : Effect.fail(InvalidInput.at("page_token", "not a token of this list"))
}

const TARGET = /^(?:([a-z_]{1,32}):)?([\x21-\x7e]{1,64})$/

const targetOf = (
  text: string,
): Effect.Effect<{ type: string | undefined; id: string } | undefined, InvalidInput> => {
  if (text === "") return Effect.succeed(undefined)
  const [, type, id] = TARGET.exec(text) ?? []
  return id === undefined
    ? Effect.fail(InvalidInput.at("target", "must be type:id, or an id"))
    : Effect.succeed({ type, id })
}

/** The last ms that DATETIME holds. */
const MAX_MS = 253_402_300_799_999n

const timeOf = (path: string, ms: bigint): Effect.Effect<number | undefined, InvalidInput> =>
  ms === 0n
    ? Effect.succeed(undefined)
    : ms > 0n && ms <= MAX_MS
      ? Effect.succeed(Number(ms))
      : Effect.fail(InvalidInput.at(path, "out of bounds"))

/** An order number and the like may be asked for by an index of one column; an actor without a user only by its action. */
const indexOf = (filters: { readonly target: boolean; readonly actor: boolean; readonly action: boolean }) =>
  filters.target ? "by_target" : filters.actor ? "by_actor" : filters.action ? "by_action" : "by_at"

/**
 * The handler of `ListAudit`. Forbidden without a signed caller who holds `audit:read`: a service has no business here
 * of its own.
 */
export const handler = (
  request: ListAuditRequest,
  { caller }: CallContext,
): Effect.Effect<MessageInitShape<typeof ListAuditResponseSchema>, Forbidden | InvalidInput | Busy, Mysql> =>
  Effect.gen(function* () {
    if (caller === undefined || !permits(caller.roles, "audit:read")) {
      return yield* new Forbidden({ permission: "audit:read" })
    }
    if (request.pageSize > MAX_PAGE) return yield* InvalidInput.at("page_size", `at most ${MAX_PAGE}`)
    if (request.action.length > 64) return yield* InvalidInput.at("action", "at most 64 characters")
    if (request.actorId !== undefined && request.actorId > BigInt(Number.MAX_SAFE_INTEGER)) {
      return yield* InvalidInput.at("actor_id", "out of bounds")
    }
    const limit = request.pageSize === 0 ? DEFAULT_PAGE : request.pageSize
    const actorId = request.actorId === undefined ? undefined : Number(request.actorId)
    const target = yield* targetOf(request.target)
    const fromMs = yield* timeOf("from_ms", request.fromMs)
    const toMs = yield* timeOf("to_ms", request.toMs)
    const after = yield* placeOf(request.pageToken)

    const mysql = yield* Mysql
    const { sql } = mysql
    // Not FROM_UNIXTIME, which ends in 2038 on MariaDB.
    const at = (ms: number) => sql`TIMESTAMP('1970-01-01') + INTERVAL ${ms * 1_000} MICROSECOND`
    const filters = [sql`1 = 1`]
    if (actorId !== undefined) filters.push(sql`a.actor_id = ${actorId}`)
    if (request.action !== "") filters.push(sql`a.action = ${request.action}`)
    if (target !== undefined) filters.push(sql`a.target_id = ${target.id}`)
    if (target?.type !== undefined) filters.push(sql`a.target_type = ${target.type}`)
    if (fromMs !== undefined) filters.push(sql`a.at >= ${at(fromMs)}`)
    if (toMs !== undefined) filters.push(sql`a.at < ${at(toMs)}`)
    if (after !== undefined) {
      // The first part alone bounds the index; the second one leaves out what the last page ended with.
      filters.push(sql`a.at <= ${at(after.atMs)}`, sql`(a.at < ${at(after.atMs)} OR a.id < ${after.id})`)
    }
    const index = indexOf({
      target: target !== undefined,
      // The system does most of what is done: its rows are told apart by what it did.
      actor: actorId !== undefined && (actorId !== 0 || request.action === ""),
      action: request.action !== "",
    })
    const found = yield* orBusy(
      mysql.run(
        "audit.list",
        sql<Entry>`
          SELECT a.id, TIMESTAMPDIFF(MICROSECOND, '1970-01-01', a.at) DIV 1000 AS at_ms, a.actor_id, a.action,
            a.target_type, a.target_id, a.before_json, a.after_json, a.reason, a.trace_id, s.hash
          FROM audit a FORCE INDEX (${sql.literal(index)}) LEFT JOIN audit_seal s ON s.audit_id = a.id
          WHERE ${sql.and(filters)} ORDER BY a.at DESC, a.id DESC LIMIT ${limit + 1}`,
      ),
    )
    const page = found.slice(0, limit)
    return {
      entries: page.map((entry) => ({
        id: BigInt(entry.id),
        atMs: BigInt(entry.at_ms),
        actorId: BigInt(entry.actor_id),
        action: entry.action,
        targetType: entry.target_type,
        targetId: entry.target_id,
        beforeJson: entry.before_json ?? "",
        afterJson: entry.after_json ?? "",
        reason: entry.reason,
        traceId: entry.trace_id ?? "",
        hash: entry.hash ?? "",
      })),
      nextPageToken: found.length > limit ? tokenOf(page[page.length - 1]!) : "",
    }
  }).pipe(Effect.withSpan("Audit.list"))
