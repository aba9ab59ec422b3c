/**
 * Serves `/media/*`: the pictures that inventory has put into the shared folder. Their names are their content's, so they
 * are cached for good, here as everywhere; those that a sale shows come out of memory.
 */
import * as fs from "node:fs/promises"
import type { IncomingMessage, ServerResponse } from "node:http"
import * as path from "node:path"
import { NotFound } from "@floodgate/contracts/errors/Errors"
import { MEDIA_PATH } from "@floodgate/contracts/http/Media"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import type { BaseHeaders } from "../http/Send.ts"

export const PREFIX = "/media/"

/** Bytes of pictures held. */
const MAX_HELD_BYTES = 64 * 1024 * 1024
/** A file that is larger was never written by us. */
const MAX_FILE_BYTES = 8 * 1024 * 1024
/** Files that are read at once; whoever comes on top waits, up to a bound. */
const MAX_READING = 32
const MAX_WAITING = 2_048

const headers = {
  "content-type": "image/webp",
  "cache-control": "public, max-age=31536000, immutable",
  // Shown by pages of other origins that may, and by ours.
  "cross-origin-resource-policy": "cross-origin",
} as const

export interface Pictures {
  /** Answers a GET or HEAD of a path below {@link PREFIX}, or has `refuse` say that there is nothing. */
  readonly send: (
    path: string,
    request: IncomingMessage,
    response: ServerResponse,
    base: BaseHeaders,
    serverTimeMs: number,
    refuse: (error: NotFound) => void,
  ) => void
}

const notFound = new NotFound({})

export const make = (folder: string) =>
  Effect.gen(function* () {
    const run = yield* FiberSet.makeRuntime<never>()
    const turns = yield* Effect.makeSemaphore(MAX_READING)
    /** By name, the least lately shown first. */
    const held = new Map<string, Buffer>()
    const reading = new Map<string, Array<(bytes: Buffer | undefined) => void>>()
    let heldBytes = 0
    let waiting = 0

    const keep = (name: string, bytes: Buffer): void => {
      held.set(name, bytes)
      heldBytes += bytes.length
      for (const [oldest, { length }] of held) {
        if (heldBytes <= MAX_HELD_BYTES) break
        held.delete(oldest)
        heldBytes -= length
      }
    }

    const load = (name: string): Effect.Effect<Buffer | undefined> =>
      turns.withPermits(1)(
        Effect.tryPromise(async () => {
          const handle = await fs.open(path.join(folder, `${name}.webp`), "r")
          try {
            const { size } = await handle.stat()
            return size > MAX_FILE_BYTES ? undefined : await handle.readFile()
          } finally {
            await handle.close()
          }
        }).pipe(
          Effect.catchAll(({ error }) =>
            (error as NodeJS.ErrnoException).code === "ENOENT"
              ? Effect.succeed(undefined)
              : Effect.as(Effect.logWarning(`a picture in MEDIA_DIR can't be read`, error), undefined),
          ),
        ),
      )

    /** One read of a file, however many ask for it. */
    const get = (name: string, done: (bytes: Buffer | undefined) => void): void => {
      const known = held.get(name)
      if (known !== undefined) {
        held.delete(name)
        held.set(name, known)
        done(known)
        return
      }
      const others = reading.get(name)
      if (waiting >= MAX_WAITING) done(undefined)
      else if (others !== undefined) {
        waiting++
        others.push(done)
      } else {
        waiting++
        const all = [done]
        reading.set(name, all)
        run(
          Effect.map(load(name), (bytes) => {
            reading.delete(name)
            waiting -= all.length
            if (bytes !== undefined) keep(name, bytes)
            for (const each of all) each(bytes)
          }),
        )
      }
    }

    return {
      send: (at, request, response, base, serverTimeMs, refuse) => {
        const name = MEDIA_PATH.exec(at)?.[1]
        if (name === undefined) {
          refuse(notFound)
          return
        }
        get(name, (bytes) => {
          if (response.destroyed) return
          if (bytes === undefined) {
            refuse(notFound)
            return
          }
          const etag = `"${name}"`
          const all = { ...base, ...headers, etag, "x-server-time": serverTimeMs }
          const tags = request.headers["if-none-match"] ?? ""
          if (tags.includes(etag) || tags.trim() === "*") {
            response.writeHead(304, all)
            response.end()
          } else {
            response.writeHead(200, { ...all, "content-length": bytes.length })
            response.end(request.method === "HEAD" ? undefined : bytes)
          }
        })
      },
    } satisfies Pictures
  })
