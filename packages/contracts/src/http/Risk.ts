/** Risk rules, address lists and decisions, as the console and the people concerned see them. */
import * as Schema from "effect/Schema"
import * as AdminList from "./AdminList.ts"
import { reason, version } from "./AdminWrite.ts"
import * as InertText from "./InertText.ts"
import { Instant, Timestamp } from "./Instant.ts"
import { Id, PathId } from "./PathId.ts"
import { strict } from "./Payload.ts"

/** What a rule may look at. Each kind has a module of its own at the edge, where they are listed once. */
export const ruleKinds = [
  "device-frequency",
  "account-frequency",
  "device-accounts",
  "account-devices",
  "account-addresses",
  "address-accounts",
  "new-account",
  "regular-timing",
] as const
export type RuleKind = (typeof ruleKinds)[number]

/** Writes it down; asks for a challenge; refuses. */
export const modes = ["observe", "challenge", "block"] as const
export type Mode = (typeof modes)[number]

/** The longest window of a rule (s): what is kept of people is kept no longer. */
export const MAX_WINDOW_S = 86_400
/** The most that a rule may count to. */
export const MAX_COUNT = 10_000

const whole = (min: number, max: number) => Schema.Int.pipe(Schema.between(min, max))

/** More than `max` within any `window_s` seconds. */
const Counted = strict(Schema.Struct({ max: whole(1, MAX_COUNT), window_s: whole(1, MAX_WINDOW_S) }))

/** The parameters of each kind; units last in their names. */
export const paramsOf = {
  "device-frequency": Counted,
  "account-frequency": Counted,
  "device-accounts": Counted,
  "account-devices": Counted,
  "account-addresses": Counted,
  "address-accounts": Counted,
  /** An account younger than this. */
  "new-account": strict(Schema.Struct({ max_age_s: whole(1, MAX_WINDOW_S) })),
  /** `samples` requests in a row whose intervals differ from one another by less than `max_jitter_ms` (standard deviation). */
  "regular-timing": strict(Schema.Struct({ samples: whole(4, 32), max_jitter_ms: whole(0, 1_000) })),
} as const satisfies Record<RuleKind, Schema.Schema.Any>

export type ParamsOf<K extends RuleKind> = Schema.Schema.Type<(typeof paramsOf)[K]>

/** Left out, a rule is about every product. */
export const Scope = strict(Schema.Struct({ product_id: Schema.optionalWith(Id, { exact: true }) }))
export type Scope = typeof Scope.Type

const Kind = Schema.Literal(...ruleKinds)
const ModeName = Schema.Literal(...modes)
/** Checked by the kind's own schema, which the edge does after this one. */
const Params = Schema.Record({ key: Schema.String, value: Schema.Int })

export const RiskRule = Schema.Struct({
  id: Id,
  kind: Kind,
  params: Params,
  mode: ModeName,
  enabled: Schema.Boolean,
  scope: Scope,
  version: Schema.Int,
  updated_at: Timestamp,
}).annotations({ identifier: "RiskRule" })
export type RiskRule = typeof RiskRule.Type

export const RiskRules = Schema.Struct({
  items: Schema.Array(RiskRule),
  next_cursor: Schema.Null,
}).annotations({ identifier: "RiskRules" })

/** A new rule; it observes unless said. */
export const CreateRulePayload = strict(
  Schema.Struct({
    kind: Kind,
    params: Params,
    mode: Schema.optionalWith(ModeName, { exact: true, default: () => "observe" as const }),
    enabled: Schema.optionalWith(Schema.Boolean, { exact: true, default: () => true }),
    scope: Schema.optionalWith(Scope, { exact: true, default: () => ({}) }),
    ...reason,
  }),
).annotations({ identifier: "CreateRulePayload" })
export type CreateRulePayload = typeof CreateRulePayload.Type

/** What is left out stays as it is. A rule's kind can't be changed: that would be another rule. */
export const ChangeRulePayload = strict(
  Schema.Struct({
    params: Schema.optionalWith(Params, { exact: true }),
    mode: Schema.optionalWith(ModeName, { exact: true }),
    enabled: Schema.optionalWith(Schema.Boolean, { exact: true }),
    scope: Schema.optionalWith(Scope, { exact: true }),
    ...version,
    ...reason,
  }),
).annotations({ identifier: "ChangeRulePayload" })
export type ChangeRulePayload = typeof ChangeRulePayload.Type

export const DeleteRulePayload = strict(Schema.Struct({ ...version, ...reason })).annotations({
  identifier: "DeleteRulePayload",
})

/** White wins over everything but a ban, then black, then grey. */
export const lists = ["black", "grey", "white"] as const
export type ListName = (typeof lists)[number]
const List = Schema.Literal(...lists)

/** An address, or a block of them (`192.0.2.0/24`, `2001:db8::/32`). Its host bits must be zero. */
const Cidr = Schema.String.pipe(Schema.minLength(2), Schema.maxLength(43)).annotations({
  description: "An IPv4 or IPv6 address, or a CIDR block",
})

export const IpListEntry = Schema.Struct({
  cidr: Schema.String,
  list: List,
  reason: Schema.String,
  expires_at: Schema.NullOr(Timestamp),
  created_at: Timestamp,
  version: Schema.Int,
}).annotations({ identifier: "IpListEntry" })
export type IpListEntry = typeof IpListEntry.Type

/** Puts a block on a list; it is on one list at most. */
export const PutIpPayload = strict(
  Schema.Struct({
    cidr: Cidr,
    list: List,
    expires_at: Schema.optionalWith(Instant, { exact: true }),
    ...version,
    ...reason,
  }),
).annotations({ identifier: "PutIpPayload" })

export const DeleteIpPayload = strict(Schema.Struct({ cidr: Cidr, ...version, ...reason })).annotations({
  identifier: "DeleteIpPayload",
})

/** `ip` finds the entries that an address falls under. */
export const ListIpQuery = strict(
  Schema.Struct({
    list: Schema.optionalWith(List, { exact: true }),
    ip: Schema.optionalWith(InertText.line(2, 43), { exact: true }),
    ...AdminList.query,
  }),
)

/** Where risk is looked at: classes of routes, see the edge's table. */
export const riskRoutes = ["seckill", "queue", "login", "register", "pay", "other"] as const
export type RiskRoute = (typeof riskRoutes)[number]

/** What became of a request: let through and written down, asked for a challenge, refused. */
export const decisions = ["observe", "challenge", "block"] as const
export type Decision = (typeof decisions)[number]

/**
 * A decision, with its reasons. `rule_id` is null where a list or a limit decided: `evidence` says which. Equal decisions
 * about the same people within seconds are one record, and `evidence.times` says of how many; in a flood one record
 * stands for many people, who are null then.
 */
export const RiskRecord = Schema.Struct({
  id: Id,
  at: Timestamp,
  user_id: Schema.NullOr(Id),
  ip: Schema.NullOr(Schema.String),
  device_id: Schema.NullOr(Schema.String),
  route: Schema.Literal(...riskRoutes),
  rule_id: Schema.NullOr(Id),
  decision: Schema.Literal(...decisions),
  code: Schema.NullOr(Schema.Int),
  evidence: Schema.Unknown,
}).annotations({ identifier: "RiskRecord" })
export type RiskRecord = typeof RiskRecord.Type

export const ListRecordsQuery = strict(
  Schema.Struct({
    user_id: Schema.optionalWith(PathId, { exact: true }),
    ip: Schema.optionalWith(InertText.line(2, 45), { exact: true }),
    device_id: Schema.optionalWith(InertText.line(1, 64), { exact: true }),
    rule_id: Schema.optionalWith(PathId, { exact: true }),
    decision: Schema.optionalWith(Schema.Literal(...decisions), { exact: true }),
    ...AdminList.query,
  }),
)

/**
 * How the caller stands now. `challenge`: a sale will ask for one. `blocked`: refused until `until`, which is null where
 * no end is known. `limits` are those that count this caller.
 */
export const RiskStatus = Schema.Struct({
  standing: Schema.Literal("ok", "challenge", "blocked"),
  until: Schema.NullOr(Timestamp),
  limits: Schema.Array(Schema.Struct({ name: Schema.String, remaining: Schema.Int, reset_at: Timestamp })),
}).annotations({ identifier: "RiskStatus" })
export type RiskStatus = typeof RiskStatus.Type
