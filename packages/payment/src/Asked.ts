/** How requests of the console are read: pages, spans of time, reasons, and who asks. */
import { createHash } from "node:crypto"
import { Forbidden, InvalidInput } from "@floodgate/contracts/errors/Errors"
import { type Permission, permits } from "@floodgate/contracts/Roles"
import type { CallContext } from "@floodgate/runtime/grpc/GrpcServer"
import * as Effect from "effect/Effect"
import * as PageToken from "./domain/PageToken.ts"
import type { Span } from "./store/PaymentLists.ts"

const MAX_PAGE = 100
const DEFAULT_PAGE = 20
const MAX_REASON = 500

/** The last ms that is asked about: the end of the year 2099. */
const MAX_MS = BigInt(Date.UTC(2100, 0, 1) - 1)

/** A user who holds the permission; a service has no business here of its own. */
export const operator = (
  { caller }: Pick<CallContext, "caller">,
  permission: Permission,
): Effect.Effect<number, Forbidden> =>
  caller !== undefined && permits(caller.roles, permission)
    ? Effect.succeed(caller.user_id)
    : Effect.fail(new Forbidden({ permission }))

export const reason = (text: string): Effect.Effect<string, InvalidInput> => {
  const words = text.trim()
  return words !== "" && words.length <= MAX_REASON
    ? Effect.succeed(words)
    : Effect.fail(InvalidInput.at("reason", `must have 1 to ${MAX_REASON} characters`))
}

export const pageSize = (size: number): Effect.Effect<number, InvalidInput> =>
  size > MAX_PAGE
    ? Effect.fail(InvalidInput.at("page_size", `at most ${MAX_PAGE}`))
    : Effect.succeed(size === 0 ? DEFAULT_PAGE : size)

const time = (path: string, ms: bigint): Effect.Effect<number | undefined, InvalidInput> =>
  ms >= 0n && ms <= MAX_MS
    ? Effect.succeed(ms === 0n ? undefined : Number(ms))
    : Effect.fail(InvalidInput.at(path, "must be Unix milliseconds"))

/** One more than a page, so that its end is known. */
export const span = Effect.fnUntraced(function* (request: {
  readonly fromMs: bigint
  readonly toMs: bigint
  readonly pageSize: number
  readonly pageToken: string
}) {
  const after = request.pageToken === "" ? undefined : PageToken.decode(request.pageToken)
  if (request.pageToken !== "" && after === undefined)
    return yield* InvalidInput.at("page_token", "not a token of this list")
  return {
    fromMs: yield* time("from_ms", request.fromMs),
    toMs: yield* time("to_ms", request.toMs),
    after,
    limit: (yield* pageSize(request.pageSize)) + 1,
  } satisfies Span
})

/** The page of what was found with one more asked for, and where the next begins. */
export const page = <A>(
  found: ReadonlyArray<A>,
  limit: number,
  place: (last: A) => PageToken.Place,
): { readonly items: ReadonlyArray<A>; readonly nextPageToken: string } => {
  const items = found.slice(0, limit - 1)
  const last = items[items.length - 1]
  return {
    items,
    nextPageToken: found.length < limit || last === undefined ? "" : PageToken.encode(place(last)),
  }
}

/** Ids beyond the safe integers name nothing. */
export const id = (given: bigint): number =>
  given > 0n && given <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(given) : 0

/** A filter that isn't set; an order number is ASCII and short, anything else names no order. */
export const orderNum = (text: string): string | undefined => (text === "" ? undefined : text.slice(0, 41))

export const keyHash = (key: string): string => createHash("sha256").update(key).digest("hex")
