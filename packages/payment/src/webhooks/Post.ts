/**
 * One POST to a stranger's endpoint. The name is resolved here and only an address that was checked is dialled, so that
 * a name can't turn private between the check and the call; redirects are answers like any other; of the answer's body
 * nothing is kept.
 */
import { lookup as resolve } from "node:dns"
import * as Http from "node:http"
import * as Https from "node:https"
import { isIP, type LookupFunction } from "node:net"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import { isLoopback, isPublic, refusalOf } from "./PublicAddress.ts"

/** No answer: nobody there, an address that isn't called, or a line that broke. */
export class NotReached extends Data.TaggedError("NotReached")<{ readonly reason: string }> {}

export interface Request {
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array
  readonly allowLoopback: boolean
}

/** What is read of an answer's body before the line is cut, bytes. */
const MAX_ANSWER = 16 * 1024

const mayCall = (address: string, allowLoopback: boolean): boolean =>
  isPublic(address) || (allowLoopback && isLoopback(address))

/** Resolves like the system does, and refuses the name if any of its addresses must not be called. */
const checked =
  (allowLoopback: boolean): LookupFunction =>
  (hostname, options, callback) =>
    resolve(hostname, { ...options, all: true }, (error, found) => {
      if (error !== null) return callback(error, "", 0)
      const first = found[0]
      if (first === undefined || !found.every(({ address }) => mayCall(address, allowLoopback)))
        return callback(new Error("the name stands for an address that isn't public"), "", 0)
      if (options.all) (callback as unknown as (e: null, all: typeof found) => void)(null, found)
      else callback(null, first.address, first.family)
    })

/** The answer's status. Deadlines are the caller's; interrupted, it cuts the line. */
export const post = (request: Request): Effect.Effect<number, NotReached> =>
  Effect.async((resume) => {
    const fail = (reason: string) => resume(Effect.fail(new NotReached({ reason: reason.slice(0, 200) })))
    const refusal = refusalOf(request.url, request.allowLoopback)
    if (refusal !== undefined) return fail(`the URL ${refusal}`)
    const url = new URL(request.url)
    const host = url.hostname.replace(/^\[(.*)\]$/, "$1")
    if (isIP(host) !== 0 && !mayCall(host, request.allowLoopback)) return fail("the address isn't public")
    const { request: ask } = url.protocol === "https:" ? Https : Http
    const sent = ask(
      url,
      {
        method: "POST",
        headers: { ...request.headers, "content-length": String(request.body.byteLength) },
        lookup: checked(request.allowLoopback),
        // A line of its own: one that an endpoint keeps open or leaves half read is nobody else's trouble.
        agent: false,
      },
      (answer) => {
        let read = 0
        const done = () => {
          resume(Effect.succeed(answer.statusCode ?? 0))
          sent.destroy()
        }
        answer.on("data", (chunk: Buffer) => {
          read += chunk.length
          if (read > MAX_ANSWER) done()
        })
        answer.on("end", done)
        answer.on("error", (error) => fail(error.message))
      },
    )
    sent.on("error", (error) => fail(error.message))
    sent.end(request.body)
    return Effect.sync(() => sent.destroy())
  })
