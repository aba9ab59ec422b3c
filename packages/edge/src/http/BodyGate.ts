/**
 * What a body must be before anyone looks at it: of the exact media type, no larger than its route takes, strict JSON. Runs on the bare
 * Node request, for the hot path and the rest alike.
 */
import type { IncomingMessage } from "node:http"
import {
  BodyTooLarge,
  type FloodgateError,
  InvalidInput,
  UnsupportedMediaType,
} from "@floodgate/contracts/errors/Errors"
import { MAX_BODY_BYTES } from "@floodgate/contracts/http/RawBody"
import * as StrictJson from "./StrictJson.ts"

export { MAX_BODY_BYTES }

/** How much of a body over the limit is still read and dropped, so that its sender gets to hear the answer. */
const MAX_DROPPED_BYTES = 1024 * 1024

export type Gated =
  | { readonly _tag: "Body"; readonly value: unknown }
  | { readonly _tag: "Refused"; readonly error: FloodgateError }
  /** The client left, or was too slow, before its body was complete: there is nobody to answer. */
  | { readonly _tag: "Gone" }

const JSON_TYPE = /^application\/json[ \t]*(?:;[ \t]*charset=(?:utf-8|"utf-8")[ \t]*)?$/i

const tooLarge = (limit: number): Gated => ({
  _tag: "Refused",
  error: new BodyTooLarge({ limit_bytes: limit }),
})
const wrongType: Gated = { _tag: "Refused", error: new UnsupportedMediaType({}) }
const notJson: Gated = { _tag: "Refused", error: InvalidInput.at("", "must be one valid JSON text") }
const gone: Gated = { _tag: "Gone" }
// A request without a body reads as one without fields, so that the schema names what is missing.
const empty: Gated = { _tag: "Body", value: {} }

const finish = (bytes: Buffer, contentType: string | undefined, raw: boolean): Gated => {
  if (raw) return { _tag: "Body", value: bytes }
  if (bytes.length === 0) return empty
  if (contentType === undefined || !JSON_TYPE.test(contentType)) return wrongType
  const parsed = StrictJson.parse(bytes)
  return parsed.ok ? { _tag: "Body", value: parsed.value } : notJson
}

/** Reads the body, of at most so many bytes, and calls back exactly once. `raw` hands them on, whatever their type. */
export const read = (
  request: IncomingMessage,
  raw: boolean,
  done: (gated: Gated) => void,
  limit: number = MAX_BODY_BYTES,
): void => {
  const encoding = request.headers["content-encoding"]
  if (encoding !== undefined && encoding.toLowerCase() !== "identity") {
    request.resume()
    done(wrongType)
    return
  }
  const contentType = request.headers["content-type"]
  const declared = Number(request.headers["content-length"] ?? 0)
  if (declared > limit + MAX_DROPPED_BYTES) {
    done(tooLarge(limit))
    return
  }
  let first: Buffer | undefined
  let rest: Array<Buffer> | undefined
  let size = 0
  let settled = false
  const settle = (gated: Gated) => {
    if (settled) return
    settled = true
    done(gated)
  }
  request.on("data", (chunk: Buffer) => {
    size += chunk.length
    if (size > limit) {
      first = undefined
      rest = undefined
      if (size > limit + MAX_DROPPED_BYTES) settle(tooLarge(limit))
    } else if (first === undefined) first = chunk
    else if (rest === undefined) rest = [first, chunk]
    else rest.push(chunk)
  })
  request.on("end", () => {
    if (size > limit) return settle(tooLarge(limit))
    const bytes = rest !== undefined ? Buffer.concat(rest) : (first ?? Buffer.alloc(0))
    settle(finish(bytes, contentType, raw))
  })
  request.on("error", () => settle(gone))
  request.on("close", () => settle(gone))
}
