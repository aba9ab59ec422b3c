/** Brings the switch of all sales to shards that couldn't be reached when it was set. Every process does it. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { SalePause } from "../SalePause.ts"
import * as Trouble from "./Trouble.ts"

/** A pause holds everywhere within a second. */
const EVERY = "500 millis"

export const layer = Layer.scopedDiscard(
  Effect.gen(function* () {
    const pause = yield* SalePause
    const trouble = Trouble.make("bringing the switch of all sales to the shards")
    yield* pause.spread().pipe(
      Effect.tap(() => trouble.worked),
      Effect.catchAll(trouble.failed),
      Effect.withTracerEnabled(false),
      Effect.zipRight(Effect.sleep(EVERY)),
      Effect.forever,
      Effect.forkScoped,
    )
  }),
)
