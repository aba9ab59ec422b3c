/**
 * Serves the web pages and their assets, outside the envelope and before the routes of the API: `/` and `/s/*` are the
 * storefront, `/console` and `/console/*` the console, `/docs` the API's documentation, `/assets/*` what they load.
 * Every other path belongs to the API and never answers HTML.
 *
 * They aren't counted against a limit: they come out of memory, and refusing one would cost as much as answering it.
 */
import type { IncomingMessage, ServerResponse } from "node:http"
import * as Compression from "../http/Compression.ts"
import type { BaseHeaders } from "../http/Send.ts"
import type { File, Site } from "./Site.ts"

/**
 * The one inline style that may be: while a dialog is open, react-aria keeps the page behind it from scrolling on iOS by
 * `@layer { * { overscroll-behavior: contain } }` in an element of its own. This is the hash of exactly that text; the
 * browser tests find out when the library says it in other words.
 */
const SCROLL_STYLE = "'sha256-gYiS/BvZvRcK27JIXTuwhZ3hs2+VJ1X+2gUlE+farlg='"

/**
 * Nothing inline but that, and nothing from elsewhere but pictures: publishers name those by any public https address. `data:` is
 * for the small pictures inside style sheets.
 */
const POLICY = [
  "default-src 'self'",
  "script-src 'self'",
  `style-src 'self' ${SCROLL_STYLE}`,
  "img-src 'self' https: data:",
  "connect-src 'self'",
  "object-src 'none'",
  "base-uri 'none'",
  "form-action 'self'",
  "frame-ancestors 'none'",
].join("; ")

const page: BaseHeaders = {
  "content-security-policy": POLICY,
  "cross-origin-opener-policy": "same-origin",
  "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=()",
  // Asked for anew every time, so that a release reaches everybody at their next visit; unchanged, it is a 304.
  "cache-control": "no-cache",
}

/** Their names change with their content. */
const asset: BaseHeaders = { "cache-control": "public, max-age=31536000, immutable" }

/** The file that a path stands for, undefined where the path isn't ours. */
const nameOf = (path: string): string | undefined => {
  if (path === "/" || path.startsWith("/s/")) return "index.html"
  if (path === "/console" || path.startsWith("/console/")) return "console.html"
  if (path === "/docs") return "docs.html"
  return path.startsWith("/assets/") ? path.slice(1) : undefined
}

export interface Pages {
  /** The file at a path, without its query; undefined: it is the API's to answer. */
  readonly at: (path: string) => File | undefined
  readonly send: (
    request: IncomingMessage,
    response: ServerResponse,
    base: BaseHeaders,
    serverTimeMs: number,
    file: File,
  ) => void
}

/** What a path of ours can be asked with. */
export const METHODS: ReadonlyArray<string> = ["GET", "HEAD", "OPTIONS"]

const vary = (base: BaseHeaders): string =>
  base["vary"] === undefined ? "Accept-Encoding" : `${base["vary"]}, Accept-Encoding`

/** Whether the client has these bytes (RFC 9110 §13.1.2: compared weakly, `*` is any). */
const has = (ifNoneMatch: string | undefined, etag: string): boolean =>
  ifNoneMatch?.split(",", 20).some((one) => {
    const tag = one.trim()
    return tag === "*" || tag === etag || tag === `W/${etag}`
  }) ?? false

export const make = (site: Site): Pages => ({
  at: (path) => {
    const name = nameOf(path)
    return name === undefined ? undefined : site.files.get(name)
  },
  send: (request, response, base, serverTimeMs, file) => {
    const coding = Compression.choose(request.headers["accept-encoding"])
    const coded = coding === undefined ? undefined : file.coded[coding]
    const { bytes, etag } = coded ?? file.plain
    const isPage = file.contentType.startsWith("text/html")
    const headers: Record<string, string | number> = {
      ...base,
      ...(isPage ? page : asset),
      "x-server-time": serverTimeMs,
      vary: vary(base),
      etag,
    }
    if (has(request.headers["if-none-match"], etag)) {
      response.writeHead(304, headers)
      response.end()
      return
    }
    headers["content-type"] = file.contentType
    headers["content-length"] = bytes.length
    if (coded !== undefined) headers["content-encoding"] = coding!
    response.writeHead(200, headers)
    response.end(request.method === "HEAD" ? undefined : bytes)
  },
})
