/** What an experiment's variants do, checked by its kind, and what it therefore lays its hands on. */
import {
  type ConfigOf,
  configOf,
  type ExperimentKind,
  MAX_VARIANTS_BYTES,
  type RuleMode,
  type UserLimit,
  type Variant,
} from "@floodgate/contracts/http/Experiment"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import * as Issues from "../http/Issues.ts"

const strict = { errors: "all", onExcessProperty: "error" } as const
const limitOf = Schema.decodeUnknownEither(configOf.limit, strict)
const riskOf = Schema.decodeUnknownEither(configOf.risk, strict)
const decoders = {
  limit: limitOf,
  risk: riskOf,
  storefront: Schema.decodeUnknownEither(configOf.storefront, strict),
} as const

export interface UserRate {
  readonly name: UserLimit
  /** Tokens in the limit's own period. */
  readonly rate: number
  readonly burst: number
}

/** The limit that a variant sets; undefined for a control. */
export const rateOf = (config: unknown): UserRate | undefined => {
  const decoded: ConfigOf<"limit"> = Either.getOrElse(limitOf(config), () => ({}))
  return "name" in decoded ? (decoded as UserRate) : undefined
}

const NO_RULES: ReadonlyMap<number, RuleMode> = new Map()

/** The modes that a variant gives to rules, by their ids. */
export const modesOf = (config: unknown): ReadonlyMap<number, RuleMode> => {
  const { rules } = Either.getOrElse(riskOf(config), (): ConfigOf<"risk"> => ({}))
  return rules === undefined ? NO_RULES : new Map(rules.map(({ mode, rule_id }) => [rule_id, mode]))
}

/**
 * What an experiment changes: `limit:pay`, `rule:3`. Two that run at once must have nothing in common, since a user may be
 * in both. What pages show is the page's to sort out.
 */
export const touches = (
  kind: ExperimentKind,
  variants: ReadonlyArray<Pick<Variant, "config">>,
): ReadonlySet<string> => {
  const found = new Set<string>()
  for (const { config } of variants) {
    if (kind === "limit") {
      const rate = rateOf(config)
      if (rate !== undefined) found.add(`limit:${rate.name}`)
    } else if (kind === "risk") {
      for (const id of modesOf(config).keys()) found.add(`rule:${id}`)
    }
  }
  return found
}

/** What is wrong with variants of an experiment of this kind. */
export const issuesOf = (
  kind: ExperimentKind,
  variants: ReadonlyArray<Variant>,
): ReadonlyArray<Issues.Issue> => {
  const issues: Array<Issues.Issue> = []
  const keys = new Set<string>()
  for (const [i, { config, key }] of variants.entries()) {
    if (keys.has(key)) issues.push({ path: `variants.${i}.key`, message: "is another variant's, too" })
    keys.add(key)
    const decoded: Either.Either<unknown, import("effect/ParseResult").ParseError> = decoders[kind](config)
    if (Either.isLeft(decoded)) {
      for (const { message, path } of Issues.issuesOf(decoded.left)) {
        issues.push({ path: [`variants.${i}.config`, path].filter((part) => part !== "").join("."), message })
      }
    }
  }
  if (variants.every(({ weight }) => weight === 0)) {
    issues.push({ path: "variants", message: "must have a weight above 0" })
  }
  if (Buffer.byteLength(JSON.stringify(variants)) > MAX_VARIANTS_BYTES) {
    issues.push({ path: "variants", message: `must not take more than ${MAX_VARIANTS_BYTES} bytes` })
  }
  if (kind === "limit" && issues.length === 0 && touches(kind, variants).size > 1) {
    issues.push({ path: "variants", message: "must all be about one limit" })
  }
  return issues
}
