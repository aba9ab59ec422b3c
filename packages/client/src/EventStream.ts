/**
 * Live changes by server-sent events. The stream reconnects by itself and goes on where it was (`Last-Event-ID`); when
 * the edge no longer has that point it says `reset`, and the application fetches anew. Read with `fetch`, so that the
 * token travels in a header and both browsers and Node can use it.
 */
import { createParser, type EventSourceMessage } from "eventsource-parser"
import { errorOf, FloodgateError } from "./FloodgateError.ts"

/** What the edge tells. Times are RFC 3339 UTC. */
export interface Events {
  ready: { readonly stream_id: string; readonly topics: ReadonlyArray<string>; readonly server_time: number }
  "order.updated": {
    readonly order_num: string
    readonly state: string
    readonly status: 0 | 1 | 2 | null
    readonly version: number
    readonly updated_at: string
  }
  "stock.updated": {
    readonly product_id: number
    readonly stock: number
    readonly status: string
    readonly version: number
  }
  /**
   * One's place in a waiting room, as `GET /products/:id/queue` says it, with the ticket once one is let in. `closed`: there
   * is nothing to wait for, as the error of that code says; it may open again.
   */
  "queue.updated": { readonly product_id: number } & (
    | {
        readonly state: "waiting" | "admitted"
        /** From 1; 0 while one hasn't joined, and once one is in. */
        readonly position: number
        readonly ahead: number
        readonly retry_after_ms: number
        readonly ticket?: string
      }
    | { readonly state: "closed"; readonly code: number }
  )
  heartbeat: { readonly server_time: number }
  /** The point to resume from is gone: fetch what you show again. */
  reset: Readonly<Record<string, unknown>>
  /** The edge ends the stream for good: 701 banned, 401 the token has expired. */
  bye: { readonly code: number }
}

export type Listener = <K extends keyof Events>(event: K, data: Events[K]) => void

export interface StreamOptions {
  /** `orders`, `stock:<product id>`, `queue:<product id>`; at most 50. */
  readonly topics: ReadonlyArray<string>
  readonly on: Listener
  /** `true` after each (re)connection, `false` when it is lost. */
  readonly onConnection?: (connected: boolean) => void
  /** The stream is over and won't come back: closed, banned, signed out, or refused. */
  readonly onEnd?: (reason: FloodgateError | undefined) => void
}

export interface Stream {
  /** Changes what the open stream tells; kept over reconnections. */
  readonly subscribe: (topics: ReadonlyArray<string>) => Promise<void>
  readonly close: () => void
}

interface Wiring extends StreamOptions {
  readonly baseUrl: string
  readonly fetch: (request: Request) => Promise<Response>
  readonly freshToken: (stale?: string) => Promise<string | undefined>
}

/** Heartbeats come every 15 s: a stream that is silent for longer than two of them is dead, whatever TCP says. */
const SILENCE_MS = 40_000
const FIRST_PAUSE_MS = 500
const MAX_PAUSE_MS = 15_000

const isEvent = (name: string): name is keyof Events =>
  ["ready", "order.updated", "stock.updated", "queue.updated", "heartbeat", "reset", "bye"].includes(name)

export const open = (wiring: Wiring): Stream => {
  const closed = new AbortController()
  let topics = wiring.topics
  let lastEventId: string | undefined
  let streamId: string | undefined
  let pauseMs = FIRST_PAUSE_MS
  let token: string | undefined

  const headers = (): Record<string, string> =>
    token === undefined ? {} : { authorization: `Bearer ${token}` }

  /** Reads one connection to its end. Answers why the stream is over for good, where it is. */
  const connect = async (): Promise<{ readonly ended: FloodgateError | undefined } | undefined> => {
    token ??= await wiring.freshToken()
    const lost = new AbortController()
    let silence = setTimeout(() => lost.abort(), SILENCE_MS)
    const heard = () => {
      clearTimeout(silence)
      silence = setTimeout(() => lost.abort(), SILENCE_MS)
    }
    let connected = false
    try {
      const response = await wiring.fetch(
        new Request(`${wiring.baseUrl}/events?${new URLSearchParams({ topics: topics.join(",") })}`, {
          headers: {
            accept: "text/event-stream",
            ...headers(),
            ...(lastEventId === undefined ? {} : { "last-event-id": lastEventId }),
          },
          cache: "no-store",
          signal: AbortSignal.any([closed.signal, lost.signal]),
        }),
      )
      if (!response.ok || response.body === null) {
        const error = errorOf(response, await response.json().catch(() => undefined))
        if (!(error instanceof FloodgateError)) return undefined
        if (error.code === 401 && token !== undefined) {
          token = await wiring.freshToken(token)
          return token === undefined ? { ended: error } : undefined
        }
        if (error.code === 429 || error.code >= 500) {
          pauseMs = Math.max(pauseMs, error.retryAfterMs ?? 0)
          return undefined
        }
        return { ended: error }
      }
      let bye: number | undefined
      const take = (message: EventSourceMessage) => {
        if (message.id !== undefined) lastEventId = message.id
        const name = message.event ?? "message"
        if (!isEvent(name)) return
        const data = JSON.parse(message.data)
        if (name === "ready") {
          streamId = data.stream_id
          pauseMs = FIRST_PAUSE_MS
          connected = true
          wiring.onConnection?.(true)
        }
        if (name === "bye") bye = data.code
        wiring.on(name, data)
      }
      const parser = createParser({
        onEvent: take,
        onRetry: (ms) => {
          pauseMs = Math.min(MAX_PAUSE_MS, Math.max(FIRST_PAUSE_MS, ms))
        },
      })
      const decoder = new TextDecoder()
      const reader = response.body.getReader()
      for (;;) {
        const { done, value } = await reader.read()
        if (done) break
        heard()
        parser.feed(decoder.decode(value, { stream: true }))
      }
      if (bye === 701) {
        return { ended: errorOf(new Response(null, { status: 403 }), { code: 701 }) as FloodgateError }
      }
      if (bye === 401) {
        const next = await wiring.freshToken(token)
        if (next === undefined) {
          return { ended: errorOf(new Response(null, { status: 401 }), { code: 401 }) as FloodgateError }
        }
        token = next
      }
      return undefined
    } catch {
      // No connection, a broken one, or silence: all are waited out alike.
      return undefined
    } finally {
      clearTimeout(silence)
      streamId = undefined
      if (connected) wiring.onConnection?.(false)
    }
  }

  const run = async (): Promise<void> => {
    while (!closed.signal.aborted) {
      const over = await connect()
      if (over !== undefined) {
        closed.abort()
        wiring.onEnd?.(over.ended)
        return
      }
      if (closed.signal.aborted) break
      // Full jitter: the streams of an edge that restarts must not all come back at one instant.
      const pause = pauseMs / 2 + Math.random() * (pauseMs / 2)
      pauseMs = Math.min(MAX_PAUSE_MS, pauseMs * 2)
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, pause)
        closed.signal.addEventListener("abort", () => {
          clearTimeout(timer)
          resolve()
        })
      })
    }
    wiring.onEnd?.(undefined)
  }
  void run()

  return {
    subscribe: async (next) => {
      topics = next
      // Without an open stream the next connection asks for them.
      if (streamId === undefined) return
      const response = await wiring.fetch(
        new Request(`${wiring.baseUrl}/events/${encodeURIComponent(streamId)}`, {
          method: "PUT",
          headers: { "content-type": "application/json", ...headers() },
          body: JSON.stringify({ topics: next }),
          signal: closed.signal,
        }),
      )
      const body = await response.json().catch(() => undefined)
      if (!response.ok) throw errorOf(response, body)
    },
    close: () => closed.abort(),
  }
}
