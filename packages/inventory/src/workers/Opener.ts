/** Opens published products that Redis still holds closed: the step that a publisher's death left undone. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import { Publishing } from "../Publishing.ts"
import { ProductStore } from "../store/ProductStore.ts"

const EVERY = Duration.seconds(2)

/** Products opened in one round. */
const PAGE = 100

export const layer = Layer.scopedDiscard(
  Effect.gen(function* () {
    const store = yield* ProductStore
    const publishing = yield* Publishing
    const round = Effect.gen(function* () {
      for (const product of yield* store.unopened(PAGE))
        yield* publishing
          .open(product)
          .pipe(Effect.catchAll((error) => Effect.logDebug("a product stays closed for now", error)))
    })
    yield* round.pipe(
      Effect.catchAllCause((cause) => Effect.logWarning("could not look for closed products", cause)),
      Effect.repeat(Schedule.spaced(EVERY)),
      Effect.forkScoped,
    )
  }),
)
