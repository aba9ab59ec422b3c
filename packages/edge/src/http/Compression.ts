/** Compresses JSON answers of 1 KiB and more, by `Accept-Encoding` (RFC 9110 §12.5.3). */
import { brotliCompress, constants, gzip } from "node:zlib"
import * as Headers from "@effect/platform/Headers"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"

export const MIN_BYTES = 1024

export type Coding = "br" | "gzip"

// Beyond this, brotli costs more time than the bytes it saves are worth.
const BROTLI_QUALITY = 4

const weight = (ranges: ReadonlyArray<string>, coding: string): number | undefined => {
  for (const range of ranges) {
    const [name, ...parameters] = range.split(";").map((part) => part.trim().toLowerCase())
    if (name !== coding) continue
    const q = parameters.find((parameter) => parameter.startsWith("q="))
    const value = q === undefined ? 1 : Number(q.slice(2))
    return value >= 0 && value <= 1 ? value : 0
  }
  return undefined
}

/** What the client would like best of what we have; undefined for the bytes as they are. */
export const choose = (acceptEncoding: string | undefined): Coding | undefined => {
  if (acceptEncoding === undefined) return undefined
  const ranges = acceptEncoding.split(",", 20)
  const any = weight(ranges, "*") ?? 0
  const br = weight(ranges, "br") ?? any
  const gz = weight(ranges, "gzip") ?? any
  if (br === 0 && gz === 0) return undefined
  return br >= gz ? "br" : "gzip"
}

const compress = (bytes: Uint8Array, coding: Coding): Effect.Effect<Uint8Array> =>
  Effect.async((resume) => {
    const done = (error: Error | null, result: Uint8Array) =>
      resume(error === null ? Effect.succeed(result) : Effect.die(error))
    if (coding === "gzip") gzip(bytes, done)
    else brotliCompress(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: BROTLI_QUALITY } }, done)
  })

const isJson = (contentType: string | undefined): boolean =>
  contentType?.startsWith("application/json") === true

/** The answer as the client may read it. Anything but a large JSON body passes through as it is. */
export const apply = (
  response: HttpServerResponse.HttpServerResponse,
  acceptEncoding: string | undefined,
): Effect.Effect<HttpServerResponse.HttpServerResponse> => {
  const { body } = response
  if (body._tag !== "Uint8Array" || body.body.byteLength < MIN_BYTES || !isJson(body.contentType)) {
    return Effect.succeed(response)
  }
  const coding = choose(acceptEncoding)
  if (coding === undefined)
    return Effect.succeed(HttpServerResponse.setHeader(response, "vary", varying(response)))
  return Effect.map(compress(body.body, coding), (bytes) =>
    HttpServerResponse.uint8Array(bytes, {
      status: response.status,
      contentType: body.contentType,
      headers: Headers.setAll(Headers.remove(response.headers, "content-length"), {
        "content-encoding": coding,
        vary: varying(response),
      }),
    }),
  )
}

const varying = (response: HttpServerResponse.HttpServerResponse): string => {
  const own = response.headers["vary"]
  return own === undefined ? "Accept-Encoding" : `${own}, Accept-Encoding`
}
