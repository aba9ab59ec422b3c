/**
 * Reads of a product that this process holds, answered on the bare Node request: in a rush everybody reads the same few.
 * What isn't as simple as that (not held, expired, stale, large enough to be compressed, a HEAD) is the HttpApi's to
 * answer, and both answer alike.
 */
import type { IncomingMessage, ServerResponse } from "node:http"
import * as Effect from "effect/Effect"
import * as Compression from "../http/Compression.ts"
import * as ETag from "../http/ETag.ts"
import type { Exchange } from "../http/Exchange.ts"
import { JSON_TYPE } from "../http/Reply.ts"
import * as RequestSpan from "../http/RequestSpan.ts"
import { send } from "../http/Send.ts"
import { ServerClock } from "../seckill/ServerClock.ts"
import { ProductCache } from "./ProductCache.ts"

const PATH = /^\/products?\/([1-9]\d{0,15})$/

/** Answers, and says so; false where somebody else has to. The usual headers are on the response already. */
export type HotProduct = (
  path: string,
  request: IncomingMessage,
  response: ServerResponse,
  exchange: Exchange,
) => boolean

export const make: Effect.Effect<HotProduct, never, ProductCache | ServerClock> = Effect.gen(function* () {
  const cache = yield* ProductCache
  const serverClock = yield* ServerClock
  const spans = yield* RequestSpan.make
  return (path, request, response, exchange) => {
    const id = request.method === "GET" ? PATH.exec(path)?.[1] : undefined
    const product = id === undefined ? undefined : cache.held(Number(id))
    if (product === undefined || product.body.byteLength >= Compression.MIN_BYTES) return false
    const span = spans.begin(request, exchange, exchange.route)
    const headers = { etag: product.etag, "cache-control": "no-cache", ...exchange.answerHeaders }
    const reply = ETag.isCurrent(request.headers["if-none-match"], product.etag)
      ? { status: 304, headers, body: "" }
      : { status: 200, headers: { "content-type": JSON_TYPE, ...headers }, body: product.body }
    send(request, response, {}, serverClock.nowMs(), reply)
    span.end(reply.status)
    return true
  }
})
