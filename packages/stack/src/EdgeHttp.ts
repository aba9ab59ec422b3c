/** The few calls that the stack itself makes to the edge, as any frontend would. */
import { randomUUID } from "node:crypto"
import { setTimeout as sleep } from "node:timers/promises"
import { StackError } from "./StackError.ts"

/** The edge's envelope. */
export interface Answer<A> {
  readonly status: number
  readonly code: number
  readonly msg: string
  readonly data: A
}

/** How to call. */
export interface CallOptions {
  readonly method?: "GET" | "POST"
  readonly body?: unknown
  readonly token?: string
  readonly headers?: Readonly<Record<string, string>>
  /** Default 10 s. */
  readonly timeoutMs?: number
}

/** One call; an answer of any status is returned. Fails with a StackError when there is no answer in time. */
export const call = async <A>(base: string, path: string, options: CallOptions = {}): Promise<Answer<A>> => {
  let response: Response
  let text: string
  try {
    response = await fetch(new URL(path, base), {
      method: options.method ?? (options.body === undefined ? "GET" : "POST"),
      headers: {
        ...(options.body === undefined ? {} : { "content-type": "application/json" }),
        ...(options.token === undefined ? {} : { authorization: `Bearer ${options.token}` }),
        ...options.headers,
      },
      ...(options.body === undefined ? {} : { body: JSON.stringify(options.body) }),
      signal: AbortSignal.timeout(options.timeoutMs ?? 10_000),
    })
    text = await response.text()
  } catch (cause) {
    const reason =
      cause instanceof Error ? (cause.cause instanceof Error ? cause.cause : cause).message : String(cause)
    throw new StackError(`${path} of the edge at ${base} doesn't answer: ${reason}`)
  }
  try {
    const envelope = JSON.parse(text) as { code: number; msg: string; data: A }
    return { status: response.status, ...envelope }
  } catch {
    throw new StackError(`${path} answered ${response.status} without an envelope: ${text.slice(0, 200)}`)
  }
}

/** How long something that is busy is asked again (ms), and how often. */
const PATIENCE_MS = 30_000
const AGAIN_MS = 500

/** Busy, or still at work on our own earlier try: as clients do, the same is asked again. */
const isBusy = ({ code, status }: Answer<unknown>): boolean => status === 503 || code === 522

/** As `call`; whoever is busy is asked again under the same key, for half a minute. */
export const insist = async <A>(
  base: string,
  path: string,
  options: CallOptions = {},
): Promise<Answer<A>> => {
  const headers = { "idempotency-key": randomUUID(), ...options.headers }
  for (const untilMs = Date.now() + PATIENCE_MS; ; await sleep(AGAIN_MS)) {
    const answer = await call<A>(base, path, { ...options, headers })
    if (!isBusy(answer) || Date.now() > untilMs) return answer
  }
}

/** As `insist`, for calls that must succeed. Fails with a StackError that tells the answer's code and message. */
export const ask = async <A>(base: string, path: string, options: CallOptions = {}): Promise<A> => {
  const answer = await insist<A>(base, path, options)
  if (answer.code !== 0) {
    throw new StackError(`${path} answered ${answer.status}/${answer.code}: ${answer.msg}`)
  }
  return answer.data
}

/** What a login answers. */
export interface Session {
  readonly access_token: string
  readonly user: { readonly id: number; readonly username: string; readonly roles: ReadonlyArray<string> }
}

/** Signs in. */
export const login = (base: string, username: string, password: string): Promise<Session> =>
  ask<Session>(base, "/login", { body: { username, password } })
