/** The page behind `x-error-doc`: what a code means, in both languages, and what a client does about it. */
import { type CatalogueRow, catalogue } from "@floodgate/contracts/errors/Catalogue"

const rows: ReadonlyArray<readonly [reason: string, row: CatalogueRow]> = Object.entries(catalogue)

const escape = (text: string): string =>
  text.replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c]!)

const page = (reason: string, row: CatalogueRow): string => {
  const facts: ReadonlyArray<readonly [string, string]> = [
    ["English", row.en],
    ["中文", row.zh],
    ["HTTP", String(row.http)],
    ["gRPC", row.grpc],
    ["When it happens", row.cause],
    ["What a client does", row.action],
  ]
  const items = facts.map(([term, text]) => `<dt>${term}</dt><dd>${escape(text)}</dd>`).join("")
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>${row.code} ${reason}</title></head>
<body><h1>${row.code} ${reason}</h1><dl>${items}</dl></body></html>
`
}

const pages = new Map(rows.map(([reason, row]) => [String(row.code), page(reason, row)]))

/** The page of a code, as it stands in the path. */
export const of = (code: string): string | undefined => pages.get(code)
