/** The envelope of every failure, and of the few successes that don't pass through an endpoint's schema. */
import type { CatalogueRow } from "@floodgate/contracts/errors/Catalogue"
import { dataOf, type FloodgateError, rowOf } from "@floodgate/contracts/errors/Errors"
import { type Language, wordsOf } from "./Language.ts"

/** A JSON answer, not yet written anywhere. Header names are lower case. */
export interface Reply {
  readonly status: number
  readonly headers: Record<string, string>
  readonly body: string
}

/** A JSON answer whose body may have been encoded long ago. */
export type EncodedReply = Omit<Reply, "body"> & { readonly body: string | Uint8Array }

export const JSON_TYPE = "application/json; charset=utf-8"

/** Seconds to wait where an error doesn't say. */
const DEFAULT_RETRY_AFTER_S = 1

const retryAfter = (data: Record<string, unknown> | null): string => {
  const ms = data?.["retry_after_ms"]
  return String(typeof ms === "number" && ms > 0 ? Math.ceil(ms / 1000) : DEFAULT_RETRY_AFTER_S)
}

/** The failure of a catalogue row with its data. */
export const ofRow = (row: CatalogueRow, data: Record<string, unknown> | null, language: Language): Reply => {
  const headers: Record<string, string> = {
    "content-type": JSON_TYPE,
    "x-error-doc": `/docs/errors/${row.code}`,
  }
  if (row.http === 429 || row.http === 503) headers["retry-after"] = retryAfter(data)
  if (row.http === 405) headers["allow"] = ((data?.["allow"] ?? []) as ReadonlyArray<string>).join(", ")
  // What is left of these requests is not worth reading.
  if (row.http === 408 || row.http === 413) headers["connection"] = "close"
  return {
    status: row.http,
    headers,
    body: JSON.stringify({ code: row.code, msg: wordsOf(row, language), data }),
  }
}

export const failure = (error: FloodgateError, language: Language): Reply =>
  ofRow(rowOf(error), dataOf(error), language)

export const success = (status: number, data: unknown): Reply => ({
  status,
  headers: { "content-type": JSON_TYPE },
  body: JSON.stringify({ code: 0, msg: "ok", data }),
})
