/**
 * The pictures of products: encoded anew and kept as files that are named by their content. A file that is there never
 * changes, so it may be written twice, and by two processes at once. Nothing is ever deleted: a picture may be shown by
 * any product there is or was.
 */
import { createHash, randomBytes } from "node:crypto"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import { Busy } from "@floodgate/contracts/errors/Errors"
import * as Audit from "@floodgate/runtime/audit/Audit"
import * as AppConfig from "@floodgate/runtime/config/AppConfig"
import { mediaDir } from "@floodgate/runtime/config/MediaDir"
import { Mysql } from "@floodgate/runtime/mysql/Mysql"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Command } from "../Editing.ts"
import * as Picture from "./Picture.ts"

/** Pictures that wait for their turn; one more is Busy. Each holds its file's bytes, and may take some hundred ms. */
const MAX_WAITING = 8

export interface Stored {
  readonly sha256: string
  readonly width: number
  readonly height: number
  readonly bytes: number
}

class DiskFailed extends Data.TaggedError("DiskFailed")<{ readonly reason: string }> {}

const isThere = async (file: string): Promise<boolean> =>
  fs.stat(file).then(
    (found) => found.isFile(),
    () => false,
  )

/** Whole or not at all, also where the machine dies in the middle of it. */
const write = async (folder: string, name: string, bytes: Uint8Array): Promise<void> => {
  const file = path.join(folder, name)
  if (await isThere(file)) return
  await fs.mkdir(folder, { recursive: true })
  const draft = path.join(folder, `.${name}.${randomBytes(6).toString("hex")}`)
  try {
    const handle = await fs.open(draft, "wx", 0o644)
    try {
      await handle.writeFile(bytes)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await fs.rename(draft, file)
  } catch (error) {
    await fs.rm(draft, { force: true })
    throw error
  }
}

const make = Effect.gen(function* () {
  const folder = yield* AppConfig.load(mediaDir)
  const mysql = yield* Mysql
  const one = yield* Effect.makeSemaphore(1)
  let waiting = 0

  /**
   * Keeps a picture, and says in the audit trail who sent it. InvalidInput where it can't be taken; Busy where too many
   * wait, or the disk takes no more.
   */
  const store = Effect.fn("Gallery.store")(function* (file: Uint8Array, by: Command) {
    if (waiting >= MAX_WAITING) return yield* new Busy({ retry_after_ms: 1_000 })
    waiting++
    const picture = yield* Effect.ensuring(
      one.withPermits(1)(Picture.encode(file)),
      Effect.sync(() => {
        waiting--
      }),
    )
    const sha256 = createHash("sha256").update(picture.bytes).digest("hex")
    yield* Effect.tryPromise({
      try: () => write(folder, `${sha256}.webp`, picture.bytes),
      catch: (cause) => new DiskFailed({ reason: (cause as Error).message }),
    }).pipe(
      Effect.catchTag("DiskFailed", ({ reason }) =>
        Effect.zipRight(
          Effect.logError(`a picture can't be written to MEDIA_DIR, ${folder}: ${reason}`),
          new Busy({ retry_after_ms: 5_000 }),
        ),
      ),
    )
    const stored: Stored = {
      sha256,
      width: picture.width,
      height: picture.height,
      bytes: picture.bytes.length,
    }
    yield* mysql
      .transaction(
        "media.audit",
        Audit.append([
          {
            actorId: by.actorId,
            action: "media.upload",
            targetType: "media",
            targetId: sha256,
            after: { width: stored.width, height: stored.height, bytes: stored.bytes },
            reason: by.reason,
            requestId: by.requestId,
          },
        ]).pipe(Effect.provideService(Mysql, mysql)),
      )
      // The same wish again: its row is there.
      .pipe(Effect.catchTag("MysqlDuplicateKey", () => Effect.void))
    return stored
  })

  return { store } as const
})

export class Gallery extends Context.Tag("@floodgate/inventory/media/Gallery")<
  Gallery,
  Effect.Effect.Success<typeof make>
>() {
  static readonly layer = Layer.effect(Gallery, make)
}
