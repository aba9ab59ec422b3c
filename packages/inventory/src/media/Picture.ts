/**
 * A picture that somebody sent, as one that we serve: decoded, brought to size, and encoded anew, so that nothing of the
 * file survives but what can be seen. Decoders are picky about nothing and written in C: only the three that we need are
 * ever run, on one picture at a time, with bounds on pixels and time.
 */
import { InvalidInput } from "@floodgate/contracts/errors/Errors"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type { Sharp, SharpOptions } from "sharp"

/** The most pixels that a picture may have, whatever its file's size: decoded, each takes four bytes. */
export const MAX_PIXELS = 24_000_000

/** What is larger is brought to fit into a square of this side, pixels. */
export const MAX_SIDE = 2_048

const QUALITY = 82
const MAX_SECONDS = 4

export interface Picture {
  readonly bytes: Buffer
  readonly width: number
  readonly height: number
}

class NoPicture extends Data.TaggedError("NoPicture")<{ readonly reason: string }> {}

type Open = (bytes: Uint8Array, options: SharpOptions) => Sharp

// Loaded when the first picture comes: the library takes its time and its memory, and a sale needs neither.
const library: Effect.Effect<Open> = Effect.runSync(
  Effect.cached(
    Effect.promise(async () => {
      const { default: sharp } = await import("sharp")
      sharp.cache(false)
      sharp.concurrency(1)
      sharp.block({ operation: ["VipsForeignLoad"] })
      sharp.unblock({
        operation: ["VipsForeignLoadJpegBuffer", "VipsForeignLoadPngBuffer", "VipsForeignLoadWebpBuffer"],
      })
      return sharp
    }),
  ),
)

const refused = (reason: string) => InvalidInput.at("", reason)

/** Fails with InvalidInput for what can't be read to its end, is no PNG, JPEG or WebP, or has too many pixels. */
export const encode = Effect.fn("Picture.encode")(function* (file: Uint8Array) {
  const open = yield* library
  const result = yield* Effect.tryPromise({
    try: async () => {
      const picture = open(file, { failOn: "error", limitInputPixels: MAX_PIXELS, pages: 1 })
      const { data, info } = await picture
        .autoOrient()
        .resize({ width: MAX_SIDE, height: MAX_SIDE, fit: "inside", withoutEnlargement: true })
        .webp({ quality: QUALITY })
        .timeout({ seconds: MAX_SECONDS })
        .toBuffer({ resolveWithObject: true })
      return { bytes: data, width: info.width, height: info.height } satisfies Picture
    },
    catch: (cause) => new NoPicture({ reason: (cause as Error).message }),
  }).pipe(
    Effect.tapError(({ reason }) => Effect.logDebug(`a picture can't be read: ${reason}`)),
    Effect.mapError(({ reason }) =>
      refused(
        /exceeds pixel limit/.test(reason)
          ? `has more than ${MAX_PIXELS} pixels`
          : "must be a whole PNG, JPEG or WebP picture",
      ),
    ),
  )
  return result
})
