/**
 * The listener of `GET /events`: on the bare Node response, because thousands of streams stay open at once. Declared in
 * `StreamApi` like any other route.
 */
import type { IncomingMessage, ServerResponse } from "node:http"
import {
  Banned,
  Busy,
  type FloodgateError,
  Internal,
  InvalidInput,
  RateLimited,
  Unauthenticated,
} from "@floodgate/contracts/errors/Errors"
import { MAX_TOPICS, Topics } from "@floodgate/contracts/http/Push"
import { Readiness } from "@floodgate/runtime/lifecycle/Readiness"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as FiberSet from "effect/FiberSet"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as AccessToken from "../auth/AccessToken.ts"
import { Revocations } from "../auth/Revocations.ts"
import { TokenVerifier } from "../auth/TokenVerifier.ts"
import type { Exchange } from "../http/Exchange.ts"
import * as Issues from "../http/Issues.ts"
import * as Reply from "../http/Reply.ts"
import { type BaseHeaders, send } from "../http/Send.ts"
import { ProductCache } from "../products/ProductCache.ts"
import { Devices } from "../risk/Devices.ts"
import { ServerClock } from "../seckill/ServerClock.ts"
import * as EventTickets from "./EventTickets.ts"
import { type Listener, type Stream, stockOf, type Wire } from "./Hub.ts"
import { Journal } from "./Journal.ts"
import { Push } from "./Push.ts"
import * as StockFeed from "./StockFeed.ts"

export const PATH = "/events"

export type EventsListener = (
  request: IncomingMessage,
  response: ServerResponse,
  query: string,
  /** Under which the client's address is counted. */
  address: string,
  exchange: Exchange,
  base: BaseHeaders,
) => void

/** What a client waits before it asks for one stream more than it may have (ms). */
const TOO_MANY_RETRY_MS = 5_000

/** How long the end of a stream may take to arrive (ms). */
const LAST_WORDS_MS = 5_000

const PARAMETERS = new Set(["topics", "ticket", "last_event_id"])
const decodeTopics = Schema.decodeUnknownEither(Topics, { errors: "all" })

interface Asked {
  readonly topics: ReadonlyArray<string>
  readonly ticket: string | undefined
  readonly lastEventId: string | undefined
}

const invalid = (path: string, message: string) => Either.left(InvalidInput.at(path, message))

const read = (query: string, request: IncomingMessage): Either.Either<Asked, InvalidInput> => {
  const values = new URLSearchParams(query)
  for (const name of values.keys()) {
    if (!PARAMETERS.has(name)) return invalid(name.slice(0, 64), "is not a field of this request")
    if (values.getAll(name).length > 1) return invalid(name, "must be given once")
  }
  const text = values.get("topics") ?? ""
  if (text === "") return invalid("topics", "is required")
  const topics = [...new Set(text.split(",", MAX_TOPICS * 2))]
  const header = request.headers["last-event-id"]
  return Either.mapBoth(decodeTopics(topics), {
    onLeft: (error) =>
      new InvalidInput({ issues: Issues.issuesOf(error).map((one) => ({ ...one, path: "topics" })) }),
    onRight: (decoded) => ({
      topics: decoded,
      ticket: values.get("ticket") ?? undefined,
      lastEventId: values.get("last_event_id") ?? (typeof header === "string" ? header : undefined),
    }),
  })
}

/** Only stock is everybody's. */
const needsSignIn = (topics: ReadonlyArray<string>): boolean =>
  topics.some((topic) => !topic.startsWith("stock:"))

const wireOf = (response: ServerResponse): Wire => ({
  write: (text) => {
    response.write(text)
    return response.writableLength
  },
  end: () => {
    response.end()
    // Whoever doesn't take the rest would keep its socket for as long as it likes.
    const cut = setTimeout(() => response.destroy(), LAST_WORDS_MS)
    response.once("close", () => clearTimeout(cut))
  },
  destroy: () => response.destroy(),
})

export const make = Effect.gen(function* () {
  const { hub } = yield* Push
  const journal = yield* Journal
  const cache = yield* ProductCache
  const verifier = yield* TokenVerifier
  const revocations = yield* Revocations
  const devices = yield* Devices
  const readiness = yield* Readiness
  const serverClock = yield* ServerClock
  const run = yield* FiberSet.makeRuntime<never>()

  const byTicket = (ticket: string) =>
    Effect.flatMap(
      EventTickets.use(journal, ticket),
      (listener): Effect.Effect<Listener, Unauthenticated | Banned> => {
        if (listener === undefined) return new Unauthenticated({})
        const verdict = revocations.check(listener.userId, listener.issuedMs)
        if (verdict === "banned") return new Banned({})
        return verdict === undefined ? Effect.succeed(listener) : new Unauthenticated({})
      },
    )

  const byToken = (authorization: string) =>
    Effect.flatMap(verifier.verify(authorization), ({ userId }): Effect.Effect<Listener, Unauthenticated> => {
      const times = AccessToken.timesOf(authorization.slice(authorization.lastIndexOf(" ") + 1))
      return times === undefined ? new Unauthenticated({}) : Effect.succeed({ userId, ...times })
    })

  const listenerOf = (
    { ticket, topics }: Asked,
    request: IncomingMessage,
  ): Effect.Effect<Listener | undefined, Unauthenticated | Banned | Busy> => {
    if (ticket !== undefined) return byTicket(ticket)
    const { authorization } = request.headers
    if (authorization !== undefined) return byToken(authorization)
    return needsSignIn(topics) ? new Unauthenticated({}) : Effect.succeed(undefined)
  }

  /** What one has just begun to listen to, as it is now. */
  const tellStock = (stream: Stream) =>
    Effect.forEach(
      [...stream.topics].flatMap((topic) => stockOf(topic) ?? []),
      (productId) =>
        Effect.map(StockFeed.current(cache, productId), (found) => {
          if (Option.isSome(found)) hub.stockTo(stream, productId, found.value)
        }),
      { concurrency: 4, discard: true },
    )

  const listener: EventsListener = (request, response, query, address, exchange, base) => {
    const refuse = (error: FloodgateError): void =>
      send(request, response, base, serverClock.nowMs(), Reply.failure(error, exchange.language))

    const open = (asked: Asked, whose: Listener | undefined): Stream | undefined => {
      const room = hub.room(whose, address)
      if (room !== "ok") {
        refuse(
          room === "edge"
            ? new Busy({ retry_after_ms: TOO_MANY_RETRY_MS })
            : new RateLimited({ retry_after_ms: TOO_MANY_RETRY_MS }),
        )
        return undefined
      }
      if (response.destroyed || response.headersSent) return undefined
      response.writeHead(200, {
        ...base,
        "x-server-time": serverClock.nowMs(),
        "content-type": "text/event-stream; charset=utf-8",
        "cache-control": "no-store",
        // A proxy that gathers an answer before it hands it on would make it late.
        "x-accel-buffering": "no",
      })
      if (request.method === "HEAD") {
        response.end()
        return undefined
      }
      const { lastEventId, topics } = asked
      const stream = hub.open(wireOf(response), whose, address, topics, lastEventId, serverClock.nowMs())
      response.once("close", () => hub.close(stream))
      return stream
    }

    const asked = read(query, request)
    if (Either.isLeft(asked)) return refuse(asked.left)
    if (readiness.isDraining()) return refuse(new Busy({ retry_after_ms: TOO_MANY_RETRY_MS }))
    run(
      listenerOf(asked.right, request).pipe(
        Effect.flatMap((found) => {
          const whose =
            found === undefined ? undefined : { ...found, device: devices.signedIdOf(request.headers) }
          const stream = open(asked.right, whose)
          return stream === undefined ? Effect.void : tellStock(stream)
        }),
        Effect.catchAll((error) => Effect.sync(() => refuse(error))),
        Effect.catchAllCause((cause) =>
          Cause.isInterruptedOnly(cause)
            ? Effect.void
            : Effect.zipRight(
                Effect.annotateLogs(Effect.logError("an event stream ended in a defect", cause), {
                  trace_id: exchange.traceId,
                }),
                Effect.sync(() => refuse(new Internal({}))),
              ),
        ),
        Effect.withTracerEnabled(false),
      ),
    )
  }
  return listener
})
