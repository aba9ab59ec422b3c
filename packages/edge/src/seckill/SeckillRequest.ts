/**
 * Reads the body of `POST /seckill` by hand, because the schema's reader costs more than all else on that path. A
 * property test holds the two equal; what this one refuses is explained by the schema.
 */
import { InvalidInput } from "@floodgate/contracts/errors/Errors"
import { MAX_QUANTITY, MAX_TICKET_LENGTH, SeckillPayload } from "@floodgate/contracts/http/Seckill"
import * as Schema from "effect/Schema"
import { issuesOf } from "../http/Issues.ts"

/** The payload, or undefined where the schema would refuse it. */
export const read = (body: unknown): SeckillPayload | undefined => {
  if (typeof body !== "object" || body === null || Array.isArray(body)) return undefined
  let productId: number | undefined
  let quantity = 1
  let ticket: string | undefined
  for (const key in body) {
    const value = (body as Record<string, unknown>)[key]
    if (key === "product_id") {
      if (!Number.isSafeInteger(value) || (value as number) < 1) return undefined
      productId = value as number
    } else if (key === "quantity") {
      if (!Number.isInteger(value) || (value as number) < 1 || (value as number) > MAX_QUANTITY)
        return undefined
      quantity = value as number
    } else if (key === "ticket") {
      if (typeof value !== "string" || value === "" || value.length > MAX_TICKET_LENGTH) return undefined
      ticket = value
    } else return undefined
  }
  if (productId === undefined) return undefined
  return ticket === undefined
    ? { product_id: productId, quantity }
    : { product_id: productId, quantity, ticket }
}

const decode = Schema.decodeUnknownEither(SeckillPayload)

/** Why {@link read} refused a body, in the schema's words. */
export const explain = (body: unknown): InvalidInput => {
  const decoded = decode(body)
  return decoded._tag === "Left"
    ? new InvalidInput({ issues: issuesOf(decoded.left) })
    : InvalidInput.at("", "is not a valid request")
}
