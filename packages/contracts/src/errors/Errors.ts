/**
 * The typed errors that cross a boundary. Each is tied once, by its reason, to its row of the catalogue; its fields
 * are what the envelope carries as `data` and gRPC as `ErrorInfo.metadata.data`. An error without fields has
 * `data: null`.
 */
import * as HttpApiSchema from "@effect/platform/HttpApiSchema"
import * as Schema from "effect/Schema"
import { type CatalogueRow, catalogue, type Reason } from "./Catalogue.ts"

const wire = (reason: Reason) => ({ [HttpApiSchema.AnnotationStatus]: catalogue[reason].http })

/** Some field of the request is missing, unknown, or out of bounds. `path` is dotted, empty for the whole body. */
export class InvalidInput extends Schema.TaggedError<InvalidInput>()(
  "InvalidInput",
  {
    issues: Schema.Array(Schema.Struct({ path: Schema.String, message: Schema.String })),
  },
  wire("INVALID_INPUT"),
) {
  static at(path: string, message: string): InvalidInput {
    return new InvalidInput({ issues: [{ path, message }] })
  }
}

/** No access token, or not a valid one. */
export class Unauthenticated extends Schema.TaggedError<Unauthenticated>()(
  "Unauthenticated",
  {},
  wire("UNAUTHENTICATED"),
) {}

/** Signed in, but without the permission that the route declares. */
export class Forbidden extends Schema.TaggedError<Forbidden>()(
  "Forbidden",
  {
    permission: Schema.optionalWith(Schema.String, { exact: true }),
  },
  wire("FORBIDDEN"),
) {}

/** No such thing, or not the caller's. */
export class NotFound extends Schema.TaggedError<NotFound>()("NotFound", {}, wire("NOT_FOUND")) {}

/** The path exists with other methods. */
export class MethodNotAllowed extends Schema.TaggedError<MethodNotAllowed>()(
  "MethodNotAllowed",
  {
    allow: Schema.Array(Schema.String),
  },
  wire("METHOD_NOT_ALLOWED"),
) {}

/** Headers or body didn't arrive in time. */
export class RequestTimeout extends Schema.TaggedError<RequestTimeout>()(
  "RequestTimeout",
  {},
  wire("REQUEST_TIMEOUT"),
) {}

/** The body is over the limit (bytes). */
export class BodyTooLarge extends Schema.TaggedError<BodyTooLarge>()(
  "BodyTooLarge",
  {
    limit_bytes: Schema.Int,
  },
  wire("BODY_TOO_LARGE"),
) {}

/** Not a content type that the route takes. */
export class UnsupportedMediaType extends Schema.TaggedError<UnsupportedMediaType>()(
  "UnsupportedMediaType",
  {},
  wire("UNSUPPORTED_MEDIA_TYPE"),
) {}

/** A token bucket is empty. `retry_after_ms` becomes the Retry-After header, rounded up to seconds. */
export class RateLimited extends Schema.TaggedError<RateLimited>()(
  "RateLimited",
  {
    retry_after_ms: Schema.Int,
  },
  wire("RATE_LIMITED"),
) {}

/** A defect; nothing of its cause leaves the process but to the log. */
export class Internal extends Schema.TaggedError<Internal>()("Internal", {}, wire("INTERNAL")) {}

export class UsernameTaken extends Schema.TaggedError<UsernameTaken>()(
  "UsernameTaken",
  {},
  wire("USERNAME_TAKEN"),
) {}

/** Unknown name or wrong password, deliberately the same. */
export class WrongCredentials extends Schema.TaggedError<WrongCredentials>()(
  "WrongCredentials",
  {},
  wire("WRONG_CREDENTIALS"),
) {}

/** `left` is what could still be reserved when it was asked. */
export class SoldOut extends Schema.TaggedError<SoldOut>()(
  "SoldOut",
  { left: Schema.Int },
  wire("SOLD_OUT"),
) {}

/** The purchase limit is used up. `order_num` is the newest live number, `order_nums` all of them. */
export class AlreadyBought extends Schema.TaggedError<AlreadyBought>()(
  "AlreadyBought",
  {
    order_num: Schema.String,
    order_nums: Schema.Array(Schema.String),
    limit: Schema.Int,
  },
  wire("ALREADY_BOUGHT"),
) {}

export class NotStarted extends Schema.TaggedError<NotStarted>()(
  "NotStarted",
  {
    start_time: Schema.String,
  },
  wire("NOT_STARTED"),
) {}

export class Ended extends Schema.TaggedError<Ended>()("Ended", { end_time: Schema.String }, wire("ENDED")) {}

/** A draft, or withdrawn. */
export class NotOnSale extends Schema.TaggedError<NotOnSale>()("NotOnSale", {}, wire("NOT_ON_SALE")) {}

/** `state` is where the order, product or payment is now; `left` what a stock change could have taken away at most. */
export class WrongState extends Schema.TaggedError<WrongState>()(
  "WrongState",
  { state: Schema.String, left: Schema.optionalWith(Schema.Int, { exact: true }) },
  wire("WRONG_STATE"),
) {}

/** The key was used with another body. */
export class IdempotencyMismatch extends Schema.TaggedError<IdempotencyMismatch>()(
  "IdempotencyMismatch",
  {},
  wire("IDEMPOTENCY_MISMATCH"),
) {}

/** The same key is in flight, or the same thing (`id`) was submitted a moment ago. */
export class InFlight extends Schema.TaggedError<InFlight>()(
  "InFlight",
  {
    id: Schema.optionalWith(Schema.Union(Schema.Int, Schema.String), { exact: true }),
  },
  wire("IN_FLIGHT"),
) {}

/** A callback's amount, currency or order isn't that of its payment. */
export class PaymentMismatch extends Schema.TaggedError<PaymentMismatch>()(
  "PaymentMismatch",
  {},
  wire("PAYMENT_MISMATCH"),
) {}

/** A stored decline: the wallet held too little. */
export class PaymentDeclined extends Schema.TaggedError<PaymentDeclined>()(
  "PaymentDeclined",
  {
    payment_id: Schema.optionalWith(Schema.String, { exact: true }),
  },
  wire("PAYMENT_DECLINED"),
) {}

/** `version` is the current one. */
export class StaleVersion extends Schema.TaggedError<StaleVersion>()(
  "StaleVersion",
  { version: Schema.Int },
  wire("STALE_VERSION"),
) {}

/**
 * Degraded, fenced, recovering, paused, or unknown. `order_num` is given where a reservation's outcome is unknown;
 * `id` and `status` where something was stored but not finished (a draft whose warm-up failed).
 */
export class Busy extends Schema.TaggedError<Busy>()(
  "Busy",
  {
    retry_after_ms: Schema.optionalWith(Schema.Int, { exact: true }),
    order_num: Schema.optionalWith(Schema.String, { exact: true }),
    id: Schema.optionalWith(Schema.Union(Schema.Int, Schema.String), { exact: true }),
    status: Schema.optionalWith(Schema.String, { exact: true }),
  },
  wire("BUSY"),
) {}

export class Banned extends Schema.TaggedError<Banned>()("Banned", {}, wire("BANNED")) {}

/** One device or address acts for too many accounts, or too fast. */
export class FrequencyLimited extends Schema.TaggedError<FrequencyLimited>()(
  "FrequencyLimited",
  {
    retry_after_ms: Schema.Int,
  },
  wire("FREQUENCY_LIMITED"),
) {}

export class AddressBlocked extends Schema.TaggedError<AddressBlocked>()(
  "AddressBlocked",
  {},
  wire("ADDRESS_BLOCKED"),
) {}

export class ChallengeRequired extends Schema.TaggedError<ChallengeRequired>()(
  "ChallengeRequired",
  {
    kind: Schema.String,
    product_id: Schema.Int,
  },
  wire("CHALLENGE_REQUIRED"),
) {}

export class WaitingRoom extends Schema.TaggedError<WaitingRoom>()(
  "WaitingRoom",
  {
    state: Schema.Literal("waiting", "admitted"),
    position: Schema.Int,
    ahead: Schema.Int,
    retry_after_ms: Schema.Int,
  },
  wire("WAITING_ROOM"),
) {}

/** Every error class, by its reason. */
export const errorClasses = {
  INVALID_INPUT: InvalidInput,
  UNAUTHENTICATED: Unauthenticated,
  FORBIDDEN: Forbidden,
  NOT_FOUND: NotFound,
  METHOD_NOT_ALLOWED: MethodNotAllowed,
  REQUEST_TIMEOUT: RequestTimeout,
  BODY_TOO_LARGE: BodyTooLarge,
  UNSUPPORTED_MEDIA_TYPE: UnsupportedMediaType,
  RATE_LIMITED: RateLimited,
  INTERNAL: Internal,
  USERNAME_TAKEN: UsernameTaken,
  WRONG_CREDENTIALS: WrongCredentials,
  SOLD_OUT: SoldOut,
  ALREADY_BOUGHT: AlreadyBought,
  NOT_STARTED: NotStarted,
  ENDED: Ended,
  NOT_ON_SALE: NotOnSale,
  WRONG_STATE: WrongState,
  IDEMPOTENCY_MISMATCH: IdempotencyMismatch,
  IN_FLIGHT: InFlight,
  PAYMENT_MISMATCH: PaymentMismatch,
  PAYMENT_DECLINED: PaymentDeclined,
  STALE_VERSION: StaleVersion,
  BUSY: Busy,
  BANNED: Banned,
  FREQUENCY_LIMITED: FrequencyLimited,
  ADDRESS_BLOCKED: AddressBlocked,
  CHALLENGE_REQUIRED: ChallengeRequired,
  WAITING_ROOM: WaitingRoom,
} as const satisfies Record<Reason, unknown>

export type ErrorClass = (typeof errorClasses)[Reason]

/** Any error of the catalogue. */
export type FloodgateError = InstanceType<ErrorClass>

const reasonByTag = new Map(
  (Object.entries(errorClasses) as ReadonlyArray<[Reason, ErrorClass]>).map(([reason, cls]) => [
    cls._tag as string,
    reason,
  ]),
)

export const isFloodgateError = (u: unknown): u is FloodgateError =>
  typeof u === "object" && u !== null && "_tag" in u && reasonByTag.has(u._tag as string)

export const reasonOf = (error: FloodgateError): Reason => reasonByTag.get(error._tag)!

export const rowOf = (error: FloodgateError): CatalogueRow => catalogue[reasonOf(error)]

/** The error's fields as the envelope's `data`; null where it has none. */
export const dataOf = (error: FloodgateError): Record<string, unknown> | null => {
  const { _tag, ...fields } = Schema.encodeSync(errorClasses[reasonOf(error)] as Schema.Schema<any, any>)(
    error,
  )
  return Object.keys(fields).length === 0 ? null : fields
}

/** The error that a reason and its `data` stand for; undefined where `data` doesn't fit (another version's error). */
export const fromWire = (reason: string, data: unknown): FloodgateError | undefined => {
  const cls = errorClasses[reason as Reason]
  if (cls === undefined) return undefined
  const decoded = Schema.decodeUnknownEither(cls as Schema.Schema<any, any>)({
    _tag: cls._tag,
    ...(data as object | null),
  })
  return decoded._tag === "Right" ? decoded.right : undefined
}
