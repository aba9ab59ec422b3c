/**
 * The id under which a service remembers a write of the console (its `request_id`, 64 characters), so that the same
 * wish has one effect even where the edge died before it could store the answer.
 */
import { createHash, randomUUID } from "node:crypto"
import type * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import type { User } from "@floodgate/contracts/http/Auth"
import { HEADER } from "@floodgate/contracts/http/IdempotencyKey"

/** The same user, method, path and `Idempotency-Key` give the same id; without a key each request is its own wish. */
export const of = (request: HttpServerRequest.HttpServerRequest, user: User): string => {
  const key = request.headers[HEADER]
  if (key === undefined) return randomUUID()
  const path = request.url.split("?", 1)[0]!
  // No part but the last can hold a line end.
  return createHash("sha256").update(`${user.userId}\n${request.method}\n${path}\n${key}`).digest("hex")
}
