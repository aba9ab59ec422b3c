/** Experiments and gray releases, as the console keeps them and as a user's page sees them. */
import * as Schema from "effect/Schema"
import { MAX_RATE } from "./AdminLimit.ts"
import * as AdminList from "./AdminList.ts"
import { reason, version } from "./AdminWrite.ts"
import { Timestamp } from "./Instant.ts"
import { Id } from "./PathId.ts"
import { strict } from "./Payload.ts"

/** What an experiment changes for its users: a limit, the modes of risk rules, what the page shows. */
export const experimentKinds = ["limit", "risk", "storefront"] as const
export type ExperimentKind = (typeof experimentKinds)[number]

export const experimentStatuses = ["draft", "running", "stopped"] as const
export type ExperimentStatus = (typeof experimentStatuses)[number]

/** Variants of one experiment, at most. */
export const MAX_VARIANTS = 10
/** Users who are in whatever their bucket, at most. */
export const MAX_ALLOWED = 500
/** The variants of an experiment as JSON, bytes at most: they travel with every change into the audit trail. */
export const MAX_VARIANTS_BYTES = 6_144

/** The limits that count a signed-in user, which a variant may set for its users. */
export const userLimits = ["seckill-user", "pay", "default"] as const
export type UserLimit = (typeof userLimits)[number]

/** Modes that a variant may give a risk rule. */
export const ruleModes = ["observe", "challenge", "block"] as const
export type RuleMode = (typeof ruleModes)[number]

const Tokens = Schema.Int.pipe(Schema.between(1, MAX_RATE))

/**
 * A variant's effect by the experiment's kind; `{}` is the control everywhere: nothing is changed.
 *
 * - limit: `rate` tokens in the limit's own period, `burst` at once, in place of the limit's numbers.
 * - risk: these rules in these modes; a rule that is disabled stays disabled.
 * - storefront: whatever the page understands.
 */
export const configOf = {
  limit: Schema.Union(
    strict(Schema.Struct({ name: Schema.Literal(...userLimits), rate: Tokens, burst: Tokens })),
    Schema.Record({ key: Schema.String, value: Schema.Never }),
  ),
  risk: strict(
    Schema.Struct({
      rules: Schema.optionalWith(
        Schema.Array(strict(Schema.Struct({ rule_id: Id, mode: Schema.Literal(...ruleModes) }))).pipe(
          Schema.maxItems(20),
        ),
        { exact: true },
      ),
    }),
  ),
  storefront: Schema.Record({ key: Schema.String, value: Schema.Unknown }),
} as const satisfies Record<ExperimentKind, Schema.Schema.Any>

export type ConfigOf<K extends ExperimentKind> = Schema.Schema.Type<(typeof configOf)[K]>

const KEY = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/

const Name = Schema.String.pipe(
  Schema.pattern(KEY, { message: () => "must be 1 to 64 letters, digits, dots, dashes or underscores" }),
)

/** An experiment's key as it stands in a path. */
export const ExperimentKey = Name

const Config = Schema.Record({ key: Schema.String, value: Schema.Unknown })

/** `weight` is its share among the variants' weights; 0 is nobody. */
export const Variant = strict(
  Schema.Struct({ key: Name, weight: Schema.Int.pipe(Schema.between(0, 10_000)), config: Config }),
).annotations({ identifier: "ExperimentVariant" })
export type Variant = typeof Variant.Type

const Variants = Schema.Array(Variant).pipe(Schema.minItems(1), Schema.maxItems(MAX_VARIANTS))
const AllowUsers = Schema.Array(Id).pipe(Schema.maxItems(MAX_ALLOWED))

const Percentage = Schema.Number.pipe(
  Schema.between(0, 100),
  Schema.filter((n) => Math.abs(n * 100 - Math.round(n * 100)) < 1e-6 || "must have two decimals at most"),
).annotations({ description: "The share of users who are in, in percent; two decimals at most" })

const Salt = Schema.String.pipe(
  Schema.pattern(/^[\x21-\x7e]{1,64}$/, { message: () => "must be 1 to 64 printable ASCII characters" }),
)

const Kind = Schema.Literal(...experimentKinds)
const Status = Schema.Literal(...experimentStatuses)

export const Experiment = Schema.Struct({
  key: Schema.String,
  kind: Kind,
  status: Status,
  salt: Schema.String,
  percentage: Schema.Number,
  allow_users: Schema.Array(Id),
  variants: Schema.Array(Schema.Struct({ key: Schema.String, weight: Schema.Int, config: Config })),
  version: Schema.Int,
  created_at: Timestamp,
  updated_at: Timestamp,
  started_at: Schema.NullOr(Timestamp),
  stopped_at: Schema.NullOr(Timestamp),
}).annotations({ identifier: "Experiment" })
export type Experiment = typeof Experiment.Type

/** Without a `salt` it gets one of its own; without a `status` it is a draft, which is in force nowhere. */
export const CreateExperimentPayload = strict(
  Schema.Struct({
    key: Name,
    kind: Kind,
    status: Schema.optionalWith(Schema.Literal("draft", "running"), {
      exact: true,
      default: () => "draft" as const,
    }),
    salt: Schema.optionalWith(Salt, { exact: true }),
    percentage: Schema.optionalWith(Percentage, { exact: true, default: () => 0 }),
    allow_users: Schema.optionalWith(AllowUsers, { exact: true, default: () => [] }),
    variants: Variants,
    ...reason,
  }),
).annotations({ identifier: "CreateExperimentPayload" })
export type CreateExperimentPayload = typeof CreateExperimentPayload.Type

/**
 * What is left out stays as it is. A running experiment may change who is in (`percentage`, `allow_users`), and nothing
 * that its users are compared by; a stopped one nothing at all. `status: "running"` starts a draft.
 */
export const ChangeExperimentPayload = strict(
  Schema.Struct({
    status: Schema.optionalWith(Status, { exact: true }),
    salt: Schema.optionalWith(Salt, { exact: true }),
    percentage: Schema.optionalWith(Percentage, { exact: true }),
    allow_users: Schema.optionalWith(AllowUsers, { exact: true }),
    variants: Schema.optionalWith(Variants, { exact: true }),
    ...version,
    ...reason,
  }),
).annotations({ identifier: "ChangeExperimentPayload" })
export type ChangeExperimentPayload = typeof ChangeExperimentPayload.Type

export const StopExperimentPayload = strict(Schema.Struct({ ...version, ...reason })).annotations({
  identifier: "StopExperimentPayload",
})

export const ListExperimentsQuery = strict(
  Schema.Struct({
    kind: Schema.optionalWith(Kind, { exact: true }),
    status: Schema.optionalWith(Status, { exact: true }),
    ...AdminList.query,
  }),
)

/** A share of the people exposed, with its 95 % interval (Wilson's); null where nobody was exposed. */
const Rate = Schema.NullOr(
  Schema.Struct({ rate: Schema.Number, low: Schema.Number, high: Schema.Number }),
).annotations({ identifier: "ExperimentRate" })

/**
 * Every number counts people, each once: `exposed` met the experiment; of those, `accepted` had a reservation accepted,
 * `paid` paid an order, and `limited` were refused by a limit, at least once.
 */
export const ExperimentResults = Schema.Struct({
  key: Schema.String,
  kind: Kind,
  status: Status,
  variants: Schema.Array(
    Schema.Struct({
      key: Schema.String,
      weight: Schema.Int,
      exposed: Schema.Int,
      accepted: Schema.Int,
      paid: Schema.Int,
      limited: Schema.Int,
      accept_rate: Rate,
      paid_rate: Rate,
    }),
  ),
}).annotations({ identifier: "ExperimentResults" })
export type ExperimentResults = typeof ExperimentResults.Type

/** The experiments that one is in, and what one gets. */
export const Assignments = Schema.Array(
  Schema.Struct({ key: Schema.String, variant: Schema.String, config: Config }),
).annotations({ identifier: "ExperimentAssignments" })
