/**
 * Answers on a bare socket, for what Node's parser refuses before there is a request: malformed or oversized headers,
 * and requests that don't arrive in time.
 */
import { STATUS_CODES } from "node:http"
import { InvalidInput, MethodNotAllowed, RequestTimeout } from "@floodgate/contracts/errors/Errors"
import * as Reply from "./Reply.ts"
import type { SecurityHeaders } from "./SecurityHeaders.ts"

const text = (
  reply: Reply.Reply,
  traceId: string,
  serverTimeMs: number,
  security: SecurityHeaders,
): string => {
  const headers = {
    ...reply.headers,
    "x-trace-id": traceId,
    "x-server-time": String(serverTimeMs),
    ...security,
    "cache-control": "no-store",
    "content-length": String(Buffer.byteLength(reply.body)),
    connection: "close",
  }
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  return `HTTP/1.1 ${reply.status} ${STATUS_CODES[reply.status]}\r\n${lines.join("")}\r\n${reply.body}`
}

const replyTo = (code: string | undefined): Reply.Reply => {
  switch (code) {
    case "ERR_HTTP_REQUEST_TIMEOUT":
      return Reply.failure(new RequestTimeout({}), "en")
    case "HPE_HEADER_OVERFLOW":
      return Reply.failure(InvalidInput.at("", "has headers that are too large"), "en")
    default:
      return Reply.failure(InvalidInput.at("", "is not a valid HTTP request"), "en")
  }
}

/** The bytes that answer a `clientError` of this code. */
export const toClientError = (
  code: string | undefined,
  traceId: string,
  serverTimeMs: number,
  security: SecurityHeaders,
): string => text(replyTo(code), traceId, serverTimeMs, security)

/** The bytes that answer a CONNECT: we are nobody's proxy. */
export const toConnect = (traceId: string, serverTimeMs: number, security: SecurityHeaders): string =>
  text(Reply.failure(new MethodNotAllowed({ allow: ["GET", "POST"] }), "en"), traceId, serverTimeMs, security)
