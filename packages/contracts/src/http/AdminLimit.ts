/** Limits as the console shows and changes them. */
import * as Schema from "effect/Schema"
import { reason, version } from "./AdminWrite.ts"
import { Timestamp } from "./Instant.ts"
import { Id, PathId } from "./PathId.ts"
import { strict } from "./Payload.ts"

/** Every limit there is, by the name under which it is changed. */
export const limitNames = [
  "login-failures",
  "sign-in",
  "seckill-user",
  "seckill-address",
  "seckill-device",
  "seckill-product",
  "pay",
  "callback",
  "default",
] as const
export type LimitName = (typeof limitNames)[number]

export const LimitNameParam = Schema.Literal(...limitNames)

/** No number of a limit is higher: a limit is raised, never switched off. */
export const MAX_RATE = 10_000_000

const Tokens = Schema.Int.pipe(Schema.between(1, MAX_RATE))

/**
 * `rate` tokens in `period_s` seconds; `burst` of them at once. `product_id` where it is one product's own
 * (`seckill-product`, which the roadmap calls `qps_limit`). `default` is what holds where nobody has changed it.
 * `version` is 1 for a limit that was never changed, and `updated_at` null.
 */
export const Limit = Schema.Struct({
  name: LimitNameParam,
  product_id: Schema.NullOr(Id),
  by: Schema.String,
  rate: Tokens,
  period_s: Schema.Int,
  burst: Tokens,
  code: Schema.Int,
  default: Schema.Struct({ rate: Tokens, burst: Tokens }),
  version: Schema.Int,
  updated_at: Schema.NullOr(Timestamp),
}).annotations({ identifier: "Limit" })
export type Limit = typeof Limit.Type

export const Limits = Schema.Struct({ items: Schema.Array(Limit) }).annotations({ identifier: "Limits" })

/** One product's own limit, where there is one. */
export const LimitQuery = strict(Schema.Struct({ product_id: Schema.optionalWith(PathId, { exact: true }) }))

/** `product_id` makes it that product's own; only `seckill-product` has products. */
export const LimitPayload = strict(
  Schema.Struct({
    rate: Tokens,
    burst: Tokens,
    product_id: Schema.optionalWith(Id, { exact: true }),
    ...version,
    ...reason,
  }),
).annotations({ identifier: "LimitPayload" })
export type LimitPayload = typeof LimitPayload.Type
