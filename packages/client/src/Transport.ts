/**
 * How a request travels: with the session's token, refreshed once where it has expired; with an idempotency key, so
 * that repeating it is safe; and again, where that is safe and the edge or the network asks for it.
 */
import { errorOf, FloodgateError, NoAnswer } from "./FloodgateError.ts"
import type { TokenStore, Tokens } from "./Tokens.ts"

export interface TransportOptions {
  readonly fetch: (request: Request) => Promise<Response>
  readonly baseUrl: string
  readonly tokens: TokenStore
  /** `zh` or `en`: the language of messages. */
  readonly language: string | undefined
  readonly deviceId: string | undefined
  /** The longest one attempt may take (ms). */
  readonly timeoutMs: number
  /** Attempts in all, the first included. */
  readonly attempts: number
  /** A wait that the edge asks for and that is longer than this (ms) is left to the caller. */
  readonly maxWaitMs: number
  /** Told when the session has ended and signing in is the only way on. */
  readonly onSignedOut: (() => void) | undefined
}

/** Sends a request; answers with the edge's response whatever its status. Fails with {@link NoAnswer}, or aborted. */
export type Transport = ((request: Request) => Promise<Response>) & {
  /** A valid access token, refreshed where `stale` is the current one; undefined without a session. */
  readonly freshToken: (stale?: string) => Promise<string | undefined>
}

/** Routes whose repetition would mean something else: they make or spend a session. */
const NEVER_REPEATED = new Set(["/login", "/register", "/token/refresh", "/logout"])

const sleep = (ms: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason)
    const onAbort = () => {
      clearTimeout(timer)
      reject(signal.reason)
    }
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", onAbort)
      resolve()
    }, ms)
    signal.addEventListener("abort", onAbort, { once: true })
  })

/** Full jitter, so that a crowd whose edge restarts doesn't come back at one instant. */
const pauseMs = (attempt: number): number => Math.random() * Math.min(2_000, 100 * 2 ** attempt)

const peek = async (response: Response): Promise<unknown> => {
  try {
    return await response.clone().json()
  } catch {
    return undefined
  }
}

export const make = (options: TransportOptions): Transport => {
  let refreshing: Promise<string | undefined> | undefined

  /** One attempt. The caller's abort passes through as it is; anything else without an answer is a NoAnswer. */
  const once = async (request: Request): Promise<Response> => {
    const timeout = AbortSignal.timeout(options.timeoutMs)
    try {
      return await options.fetch(
        new Request(request, { signal: AbortSignal.any([request.signal, timeout]), cache: "no-store" }),
      )
    } catch (cause) {
      if (request.signal.aborted) throw request.signal.reason
      throw new NoAnswer(timeout.aborted ? `No answer within ${options.timeoutMs} ms` : "No connection", {
        cause,
      })
    }
  }

  const refresh = async (held: Tokens): Promise<string | undefined> => {
    const request = new Request(`${options.baseUrl}/token/refresh`, {
      method: "POST",
      headers: { "content-type": "application/json", accept: "application/json" },
      body: JSON.stringify({ refresh_token: held.refresh_token }),
    })
    // The successor is the same for a repetition within its grace, so a lost answer is asked for again.
    let response = await once(request.clone()).catch(() => undefined)
    response ??= await once(request)
    const body = (await peek(response)) as { readonly data?: Tokens } | undefined
    if (response.ok && body?.data !== undefined) {
      options.tokens.set(body.data)
      return body.data.access_token
    }
    const error = errorOf(response, body)
    // Only the edge's word ends a session; a busy one doesn't.
    if (!(error instanceof FloodgateError) || (error.code !== 401 && error.code !== 701)) throw error
    options.tokens.set(undefined)
    options.onSignedOut?.()
    return undefined
  }

  const freshToken = (stale?: string): Promise<string | undefined> => {
    const held = options.tokens.get()
    if (held === undefined || held.access_token !== stale) return Promise.resolve(held?.access_token)
    refreshing ??= refresh(held).finally(() => {
      refreshing = undefined
    })
    return refreshing
  }

  const prepared = (request: Request, token: string | undefined): Request => {
    const copy = request.clone()
    if (token !== undefined && !copy.headers.has("authorization")) {
      copy.headers.set("authorization", `Bearer ${token}`)
    }
    if (options.language !== undefined) copy.headers.set("accept-language", options.language)
    if (options.deviceId !== undefined) copy.headers.set("x-device-id", options.deviceId)
    return copy
  }

  const send = async (given: Request): Promise<Response> => {
    const path = new URL(given.url).pathname
    const repeatable = !NEVER_REPEATED.has(path)
    const request = given.clone()
    if (request.method === "POST" && repeatable && !request.headers.has("idempotency-key")) {
      request.headers.set("idempotency-key", crypto.randomUUID())
    }
    const safe = request.method === "GET" || request.headers.has("idempotency-key")
    let refreshed = false
    for (let attempt = 1; ; attempt++) {
      const token = repeatable ? options.tokens.get()?.access_token : undefined
      let response: Response
      try {
        response = await once(prepared(request, token))
      } catch (error) {
        if (!(error instanceof NoAnswer) || !safe || attempt >= options.attempts) throw error
        await sleep(pauseMs(attempt), request.signal)
        continue
      }
      if (response.ok) return response
      const error = errorOf(response, await peek(response))
      if (!(error instanceof FloodgateError)) return response
      if (error.code === 401 && token !== undefined && !refreshed) {
        refreshed = true
        if ((await freshToken(token)) === undefined) return response
        continue
      }
      const worthIt = error.code === 530 || error.code === 522 || error.code === 429
      const wait = error.retryAfterMs ?? 0
      if (!worthIt || !safe || attempt >= options.attempts || wait > options.maxWaitMs) return response
      await sleep(wait + pauseMs(attempt), request.signal)
    }
  }

  return Object.assign(send, { freshToken })
}
