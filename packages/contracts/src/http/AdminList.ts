/** What the lists of the console have in common: `limit`, `cursor`, `from`, `to` and `format`. */
import * as Schema from "effect/Schema"
import { Envelope } from "./Envelope.ts"
import { Instant } from "./Instant.ts"
import * as Page from "./Page.ts"

/** The most rows of one export; the answer's `Link` header tells where the next begins. */
export const MAX_CSV_ROWS = 5_000

/** `from` is included, `to` isn't. Without `limit`, JSON has 20 items and CSV all there are, up to 5,000. */
export const query = {
  limit: Schema.optionalWith(Page.Limit, { exact: true }),
  cursor: Page.query.cursor,
  from: Schema.optionalWith(Instant, { exact: true }),
  to: Schema.optionalWith(Instant, { exact: true }),
  format: Schema.optionalWith(Schema.Literal("json", "csv"), { exact: true }),
}

export interface Query {
  readonly limit?: number
  readonly cursor?: string
  readonly from?: number
  readonly to?: number
  readonly format?: "json" | "csv"
}

/** The answer of a list of the console, by the page. The handler answers CSV itself. */
export const AdminList = <A, I>(item: Schema.Schema<A, I>) => Envelope(Page.Page(item))

/** For documents, which know one content type an answer by themselves: the same list as CSV. */
export const withCsv = (operation: Record<string, any>): Record<string, any> => {
  const ok = operation["responses"]["200"]
  const content = { ...ok.content, "text/csv": { schema: { type: "string", description: "RFC 4180" } } }
  return { ...operation, responses: { ...operation["responses"], "200": { ...ok, content } } }
}
