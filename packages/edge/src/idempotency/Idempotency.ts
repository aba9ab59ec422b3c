/**
 * The `Idempotency-Key` of the routes whose first answer the edge keeps: sent again to the same request, refused to
 * another body, and while the first request is at work.
 */
import type * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import type { Busy, IdempotencyMismatch, InFlight } from "@floodgate/contracts/errors/Errors"
import { HEADER, isIdempotencyKey } from "@floodgate/contracts/http/IdempotencyKey"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { TokenVerifier } from "../auth/TokenVerifier.ts"
import * as CanonicalBody from "../handlers/CanonicalBody.ts"
import * as RequestId from "../handlers/RequestId.ts"
import type { Exchange } from "../http/Exchange.ts"
import * as KeyPolicy from "./KeyPolicy.ts"
import { KeyStore, type StoredAnswer } from "./KeyStore.ts"

/** What another try may answer differently. */
const NOT_STORED = new Set([400, 401, 403, 408, 429, 503])

type Response = HttpServerResponse.HttpServerResponse

export type Around = (
  request: HttpServerRequest.HttpServerRequest,
  exchange: Exchange,
  /** Answers, whatever happens: it has no failures left. */
  handled: Effect.Effect<Response>,
) => Effect.Effect<Response, InFlight | IdempotencyMismatch | Busy>

const storedOf = (response: Response, exchange: Exchange): StoredAnswer | undefined => {
  const { body } = response
  if (body._tag !== "Uint8Array") return undefined
  const { "content-length": _, "content-type": __, ...headers } = response.headers
  return {
    status: response.status,
    contentType: body.contentType,
    headers: { ...headers, ...exchange.answerHeaders },
    body: Buffer.from(body.body).toString("utf8"),
  }
}

const responseOf = (answer: StoredAnswer): Response =>
  HttpServerResponse.text(answer.body, {
    status: answer.status,
    contentType: answer.contentType,
    headers: { ...answer.headers, "idempotent-replayed": "true" },
  })

export const make: Effect.Effect<Around, never, KeyStore | TokenVerifier> = Effect.gen(function* () {
  const keys = yield* KeyStore
  const verifier = yield* TokenVerifier

  return (request, exchange, handled) => {
    const key = request.headers[HEADER]
    if (key === undefined || KeyPolicy.of(request.method, exchange.route) !== "edge") return handled
    // The endpoint's own schema refuses it, and its guard whoever isn't signed in.
    if (!isIdempotencyKey(key)) return handled

    // Uninterruptible: a client that leaves must find the answer when it comes back with its key.
    return Effect.uninterruptible(
      Effect.gen(function* () {
        const user = yield* Effect.option(verifier.verify(request.headers["authorization"]))
        if (Option.isNone(user)) return yield* handled
        const id = RequestId.of(request, user.value)
        const claim = yield* keys.claim(id, CanonicalBody.hash(exchange.body))
        if (claim._tag === "Answered") return responseOf(claim.answer)
        const response = yield* handled
        const answer = NOT_STORED.has(response.status) ? undefined : storedOf(response, exchange)
        const kept =
          answer === undefined ? keys.release(id, claim.attempt) : keys.store(id, claim.attempt, answer)
        // What was done is done: the client gets its answer, and the key stays in flight until its lease ends.
        yield* Effect.catchAll(kept, () => Effect.logWarning("the answer to an idempotency key wasn't kept"))
        return response
      }),
    )
  }
})
