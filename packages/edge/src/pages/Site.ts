/**
 * The built web pages, read once at start and kept in memory: three documents and what they load. A folder that isn't
 * there makes an edge without pages, not an edge that doesn't start: the API is what must be up.
 */
import { createHash } from "node:crypto"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type { Coding } from "../http/Compression.ts"

/** Bounds on what is taken into memory: files, and bytes with their compressed copies. */
export const MAX_FILES = 400
export const MAX_BYTES = 48 * 1024 * 1024

export interface Content {
  readonly bytes: Buffer
  /** Quoted, and another one for each coding: they are different bytes. */
  readonly etag: string
}

export interface File {
  readonly contentType: string
  readonly plain: Content
  readonly coded: Readonly<Partial<Record<Coding, Content>>>
}

export interface Site {
  /** By their path under the folder: `index.html`, `assets/storefront-1a2b3c.js`. */
  readonly files: ReadonlyMap<string, File>
}

/** An edge without pages. */
export const none: Site = { files: new Map() }

class SiteUnreadable extends Data.TaggedError("SiteUnreadable")<{ readonly reason: string }> {
  override get message(): string {
    return this.reason
  }
}

/** What is served; anything else in the folder isn't. */
const contentTypes: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
  ".png": "image/png",
  ".webp": "image/webp",
  ".woff2": "font/woff2",
}

const suffixes: Readonly<Record<Coding, string>> = { br: ".br", gzip: ".gz" }

const content = (bytes: Buffer): Content => ({
  bytes,
  etag: `"${createHash("sha256").update(bytes).digest("base64url").slice(0, 27)}"`,
})

const read = async (folder: string): Promise<Site> => {
  const entries = await fs.readdir(folder, { recursive: true, withFileTypes: true })
  const names = entries
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(folder, path.join(entry.parentPath, entry.name)).replaceAll(path.sep, "/"))
  if (names.length > MAX_FILES) throw new Error(`has more than ${MAX_FILES} files`)
  const found = new Set(names)
  const files = new Map<string, File>()
  let left = MAX_BYTES
  const take = async (name: string): Promise<Content> => {
    const bytes = await fs.readFile(path.join(folder, name))
    left -= bytes.length
    if (left < 0) throw new Error(`has more than ${MAX_BYTES} bytes`)
    return content(bytes)
  }
  for (const name of names) {
    const contentType = contentTypes[path.posix.extname(name)]
    if (contentType === undefined) continue
    const coded: Partial<Record<Coding, Content>> = {}
    for (const coding of ["br", "gzip"] as const) {
      if (found.has(name + suffixes[coding])) coded[coding] = await take(name + suffixes[coding])
    }
    files.set(name, { contentType, plain: await take(name), coded })
  }
  if (!files.has("index.html")) throw new Error("has no index.html")
  return { files }
}

/** Reads the folder of a build. Never fails: what can't be read is said in the log, and there are no pages then. */
export const load = (folder: string | undefined): Effect.Effect<Site> =>
  folder === undefined
    ? Effect.as(Effect.logInfo("no web pages are served: WEB_DIR names no folder"), none)
    : Effect.tryPromise({
        try: () => read(folder),
        catch: (cause) => new SiteUnreadable({ reason: (cause as Error).message }),
      }).pipe(
        Effect.tap(({ files }) => Effect.logInfo(`${files.size} files of the web pages are in memory`)),
        Effect.catchAll(({ message }) =>
          Effect.as(Effect.logWarning(`no web pages are served: WEB_DIR, ${folder}: ${message}`), none),
        ),
      )
