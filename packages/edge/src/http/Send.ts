/** Writes an answer on the bare Node response: for the hot path, and for what is refused before the HttpApi. */
import type { IncomingMessage, ServerResponse } from "node:http"
import type { EncodedReply } from "./Reply.ts"

/** How long the rest of a refused body is read and dropped (ms), so that its sender gets to hear the answer. */
const LINGER_MS = 2_000

/** Headers of every answer to this request. */
export type BaseHeaders = Readonly<Record<string, string>>

const linger = (request: IncomingMessage, response: ServerResponse): void => {
  const end = () => {
    clearTimeout(timer)
    response.end()
  }
  const timer = setTimeout(end, LINGER_MS)
  request.once("end", end)
  request.once("close", end)
  request.resume()
}

/** Does nothing where the client is gone or was answered already. */
export const send = (
  request: IncomingMessage,
  response: ServerResponse,
  base: BaseHeaders,
  serverTimeMs: number,
  reply: EncodedReply,
): void => {
  if (response.headersSent || response.destroyed) return
  response.writeHead(reply.status, {
    ...base,
    "x-server-time": serverTimeMs,
    "cache-control": "no-store",
    ...reply.headers,
    // An answer of "nothing new" says nothing of what there would be.
    ...(reply.status === 304 ? undefined : { "content-length": Buffer.byteLength(reply.body) }),
  })
  // Closing over unread bytes resets the connection, and takes the answer with it.
  if (reply.status === 413 && !request.complete) {
    response.write(reply.body)
    linger(request, response)
  } else {
    response.end(request.method === "HEAD" ? undefined : reply.body)
  }
}
