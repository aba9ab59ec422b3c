/** The console's risk board: rules, lists, and what was decided by them. */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import { InvalidInput, NotFound } from "@floodgate/contracts/errors/Errors"
import { RestApi } from "@floodgate/contracts/http/Api"
import { CurrentUser } from "@floodgate/contracts/http/Auth"
import { format } from "@floodgate/contracts/http/Instant"
import {
  type IpListEntry,
  paramsOf,
  type RiskRecord,
  type RiskRule,
  type RuleKind,
} from "@floodgate/contracts/http/Risk"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import { issuesOf } from "../http/Issues.ts"
import * as AddressList from "../risk/AddressList.ts"
import { RiskSettings } from "../risk/RiskSettings.ts"
import { type Block, RiskStore, type Rule, type StoredRecord } from "../risk/RiskStore.ts"
import { ServerClock } from "../seckill/ServerClock.ts"
import * as AdminLists from "./AdminLists.ts"

const blockColumns: ReadonlyArray<keyof IpListEntry> = [
  "cidr",
  "list",
  "reason",
  "expires_at",
  "created_at",
  "version",
]

const recordColumns: ReadonlyArray<keyof RiskRecord> = [
  "id",
  "at",
  "user_id",
  "ip",
  "device_id",
  "route",
  "rule_id",
  "decision",
  "code",
  "evidence",
]

const ruleOf = (rule: Rule): RiskRule => ({
  id: rule.id,
  kind: rule.kind,
  params: rule.params,
  mode: rule.mode,
  enabled: rule.enabled,
  scope: rule.productId === undefined ? {} : { product_id: rule.productId },
  version: rule.version,
  updated_at: format(rule.updatedMs),
})

const blockOf = (block: Block): IpListEntry => ({
  cidr: block.cidr,
  list: block.list,
  reason: block.reason,
  expires_at: block.expiresMs === undefined ? null : format(block.expiresMs),
  created_at: format(block.createdMs),
  version: block.version,
})

const recordOf = (record: StoredRecord): RiskRecord => ({
  id: record.id,
  at: format(record.atMs),
  user_id: record.userId ?? null,
  ip: record.ip ?? null,
  device_id: record.deviceKey ?? null,
  route: record.route,
  rule_id: record.ruleId ?? null,
  decision: record.decision,
  code: record.code ?? null,
  evidence: record.evidence,
})

/** The parameters as the kind has them, or why they are none. */
const checked = (
  kind: RuleKind,
  params: unknown,
): Effect.Effect<Readonly<Record<string, number>>, InvalidInput> => {
  const schema = paramsOf[kind] as unknown as Schema.Schema<Readonly<Record<string, number>>>
  const decoded = Schema.decodeUnknownEither(schema)(params)
  return Either.isRight(decoded)
    ? Effect.succeed(decoded.right)
    : new InvalidInput({
        issues: issuesOf(decoded.left).map((issue) => ({
          ...issue,
          path: issue.path === "" ? "params" : `params.${issue.path}`,
        })),
      })
}

const blockNamed = (cidr: string): Effect.Effect<string, InvalidInput> => {
  const normalized = AddressList.normalize(cidr)
  return normalized === undefined
    ? InvalidInput.at("cidr", "must be an address or a CIDR block whose host bits are zero")
    : Effect.succeed(normalized)
}

/** Cursors of these lists are ids: below them the next page begins. */
const beforeOf = (cursor: string | undefined): Effect.Effect<number | undefined, InvalidInput> =>
  cursor === undefined
    ? Effect.succeed(undefined)
    : /^[1-9]\d{0,15}$/.test(cursor)
      ? Effect.succeed(Number(cursor))
      : InvalidInput.at("cursor", "is not a cursor of this list")

const pageOf = <A extends { readonly id: number }, B>(
  rows: ReadonlyArray<A>,
  limit: number,
  view: (row: A) => B,
): AdminLists.Page<B> => ({
  items: rows.slice(0, limit).map(view),
  next_cursor: rows.length > limit ? String(rows[limit - 1]!.id) : null,
})

export const layer = HttpApiBuilder.group(RestApi, "adminRisk", (handlers) =>
  Effect.gen(function* () {
    const settings = yield* RiskSettings
    const store = yield* RiskStore
    const serverClock = yield* ServerClock
    return handlers
      .handle(
        "listRules",
        Effect.fn("AdminRiskHandlers.listRules")(function* () {
          return { items: (yield* store.rules).map(ruleOf), next_cursor: null }
        }),
      )
      .handle(
        "createRule",
        Effect.fn("AdminRiskHandlers.createRule")(function* ({ payload }) {
          const user = yield* CurrentUser
          const { enabled, kind, mode, reason, scope } = payload
          const params = yield* checked(kind, payload.params)
          const rule = yield* settings.createRule({
            kind,
            params,
            mode,
            enabled,
            productId: scope.product_id,
            reason,
            actorId: user.userId,
          })
          return ruleOf(rule)
        }),
        { uninterruptible: true },
      )
      .handle(
        "getRule",
        Effect.fn("AdminRiskHandlers.getRule")(function* ({ path }) {
          const found = (yield* store.rules).find(({ id }) => id === path.id)
          return found === undefined ? yield* new NotFound({}) : ruleOf(found)
        }),
      )
      .handle(
        "changeRule",
        Effect.fn("AdminRiskHandlers.changeRule")(function* ({ path, payload }) {
          const user = yield* CurrentUser
          const { enabled, mode, params, reason, scope, version } = payload
          const rule = yield* settings.changeRule({
            id: path.id,
            version,
            reason,
            actorId: user.userId,
            change: (before) =>
              Effect.map(checked(before.kind, params ?? before.params), (good) => ({
                ...before,
                params: good,
                mode: mode ?? before.mode,
                enabled: enabled ?? before.enabled,
                productId: scope === undefined ? before.productId : scope.product_id,
              })),
          })
          return ruleOf(rule)
        }),
        { uninterruptible: true },
      )
      .handle(
        "deleteRule",
        Effect.fn("AdminRiskHandlers.deleteRule")(function* ({ path, payload }) {
          const user = yield* CurrentUser
          yield* settings.deleteRule({
            id: path.id,
            version: payload.version,
            reason: payload.reason,
            actorId: user.userId,
          })
          return null
        }),
        { uninterruptible: true },
      )
      .handle(
        "listIps",
        Effect.fn("AdminRiskHandlers.listIps")(function* ({ request, urlParams }) {
          const page = Effect.fnUntraced(function* (at: {
            readonly limit: number
            readonly cursor?: string
          }) {
            const beforeId = yield* beforeOf(at.cursor)
            const rows = yield* store.listBlocks({
              list: urlParams.list,
              covering: urlParams.ip === undefined ? undefined : AddressList.covering(urlParams.ip),
              fromMs: urlParams.from,
              toMs: urlParams.to,
              beforeId,
              limit: at.limit + 1,
            })
            return pageOf(rows, at.limit, blockOf)
          })
          if (urlParams.ip !== undefined && AddressList.covering(urlParams.ip).length === 0) {
            return yield* InvalidInput.at("ip", "must be an address")
          }
          return yield* AdminLists.answer({
            request,
            query: urlParams,
            name: "ip-list",
            columns: blockColumns,
            page,
          })
        }),
      )
      .handle(
        "putIp",
        Effect.fn("AdminRiskHandlers.putIp")(function* ({ payload }) {
          const user = yield* CurrentUser
          const cidr = yield* blockNamed(payload.cidr)
          const expiresMs = payload.expires_at
          if (expiresMs !== undefined && expiresMs <= serverClock.nowMs()) {
            return yield* InvalidInput.at("expires_at", "must be in the future")
          }
          const { list, reason, version } = payload
          return blockOf(
            yield* settings.putBlock({ cidr, list, expiresMs, version, reason, actorId: user.userId }),
          )
        }),
        { uninterruptible: true },
      )
      .handle(
        "deleteIp",
        Effect.fn("AdminRiskHandlers.deleteIp")(function* ({ payload }) {
          const user = yield* CurrentUser
          const cidr = yield* blockNamed(payload.cidr)
          const { reason, version } = payload
          yield* settings.deleteBlock({ cidr, version, reason, actorId: user.userId })
          return null
        }),
        { uninterruptible: true },
      )
      .handle(
        "listRecords",
        Effect.fn("AdminRiskHandlers.listRecords")(function* ({ request, urlParams }) {
          const page = Effect.fnUntraced(function* (at: {
            readonly limit: number
            readonly cursor?: string
          }) {
            const beforeId = yield* beforeOf(at.cursor)
            const rows = yield* store.listRecords({
              userId: urlParams.user_id,
              ip: urlParams.ip,
              deviceKey: urlParams.device_id,
              ruleId: urlParams.rule_id,
              decision: urlParams.decision,
              fromMs: urlParams.from,
              toMs: urlParams.to,
              beforeId,
              limit: at.limit + 1,
            })
            return pageOf(rows, at.limit, recordOf)
          })
          return yield* AdminLists.answer({
            request,
            query: urlParams,
            name: "risk-records",
            columns: recordColumns,
            page,
          })
        }),
      )
  }),
)
