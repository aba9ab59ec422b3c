/**
 * What the listener knows about a request before anybody handles it: its trace and whether that is recorded (decided
 * once, here), and the reader's language. Handlers leave extra answer headers in it.
 */

import { randomBytes } from "node:crypto"
import type { IncomingMessage } from "node:http"
import type * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import { isSampled } from "@floodgate/runtime/telemetry/Sampling"
import * as TraceContext from "@floodgate/runtime/telemetry/TraceContext"
import type { Device } from "../risk/Device.ts"
import * as ClientAddress from "./ClientAddress.ts"
import * as Language from "./Language.ts"

export interface Exchange {
  /** 32 hex digits, whether the trace is recorded or not. */
  readonly traceId: string
  readonly sampled: boolean
  /** The caller's traceparent, where it sent a valid one. */
  readonly traceparent: string | undefined
  readonly language: Language.Language
  /** The client's address, as far as it can be believed. */
  readonly address: string
  /** The pattern of the route, as in the contract. */
  route: string
  /** The parsed body, or its bytes where the route takes them raw. */
  body: unknown
  /** The device of the request, as far as it has one; read by the listener where something goes by it. */
  device: Device | undefined
  /** Headers that the answer gets beside the usual ones. */
  readonly answerHeaders: Record<string, string>
}

const KEY = Symbol("@floodgate/edge/http/Exchange")

// One system call serves many ids.
const POOL_BYTES = 16 * 256
let pool = ""
let poolAt = 0

export const newTraceId = (): string => {
  if (poolAt === pool.length) {
    pool = randomBytes(POOL_BYTES).toString("hex")
    poolAt = 0
  }
  const id = pool.slice(poolAt, poolAt + 32)
  poolAt += 32
  // All zeros is the one id that the format forbids; a pool of them would be a broken machine.
  return id
}

/** Begins a request's exchange; `sampleShare` is the share of traces to record, 0 to 1. */
export const begin = (
  request: IncomingMessage,
  sampleShare: number,
  trusted: ClientAddress.TrustedProxies,
): Exchange => {
  const header = request.headers["traceparent"]
  const parent = typeof header === "string" ? TraceContext.parse(header) : undefined
  const traceId = parent?.traceId ?? newTraceId()
  const exchange: Exchange = {
    traceId,
    sampled: parent?.sampled ?? isSampled(traceId, sampleShare),
    traceparent: parent === undefined ? undefined : (header as string),
    language: Language.of(request.headers["accept-language"]),
    address: ClientAddress.resolve(
      request.socket.remoteAddress,
      request.headers["x-forwarded-for"] as string | undefined,
      trusted,
    ),
    route: "",
    body: undefined,
    device: undefined,
    answerHeaders: {},
  }
  ;(request as unknown as Record<symbol, Exchange>)[KEY] = exchange
  return exchange
}

/** The exchange of a request that the listener has begun. */
export const of = (request: HttpServerRequest.HttpServerRequest): Exchange =>
  (NodeHttpServerRequest.toIncomingMessage(request) as unknown as Record<symbol, Exchange>)[KEY]!

/**
 * A traceparent of a request that isn't recorded: lends its trace id to the log, and makes no spans further down. The
 * span in it is nobody's.
 */
export const unrecorded = (exchange: Exchange): string =>
  TraceContext.format({ traceId: exchange.traceId, spanId: exchange.traceId.slice(16), sampled: false })
