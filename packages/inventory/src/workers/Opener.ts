/**
 * Has Redis do what MySQL says of a product: opens what is published and still closed there, closes what is withdrawn
 * and still open. It is the step that a publisher's, an editor's or a withdrawer's death left undone. Several of them at
 * once do no harm: Redis compares generation and version.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import { Publishing } from "../Publishing.ts"
import { ProductStore } from "../store/ProductStore.ts"

const EVERY = Duration.seconds(2)

/** Whoever is at it gets this long before the opener takes over: an edit's warm-up comes before its opening. */
const GRACE_MS = 2_000

/** Products opened, and closed, in one round. */
const PAGE = 100

export const layer = Layer.scopedDiscard(
  Effect.gen(function* () {
    const store = yield* ProductStore
    const publishing = yield* Publishing
    const round = Effect.gen(function* () {
      for (const product of yield* store.unopened(PAGE, GRACE_MS))
        yield* publishing
          .open(product)
          .pipe(Effect.catchAll((error) => Effect.logDebug("a product stays closed for now", error)))
      for (const product of yield* store.unclosed(PAGE))
        yield* publishing
          .close(product)
          .pipe(
            Effect.catchAll((error) => Effect.logWarning("a withdrawn product stays open for now", error)),
          )
    })
    yield* round.pipe(
      Effect.catchAllCause((cause) =>
        Effect.logWarning("could not look for products to open or close", cause),
      ),
      Effect.repeat(Schedule.spaced(EVERY)),
      Effect.forkScoped,
    )
  }),
)
