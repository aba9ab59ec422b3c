/** The sweeps of payment: each claims a page of rows that are due, and handles each row by itself. */
import * as Sweep from "@floodgate/runtime/lifecycle/Sweep"
import * as Effect from "effect/Effect"

const EVERY_MS = 500

const MAX_PAGES = 20

/** How many rows are handled side by side; a worker whose rows wait for others claims no more at once. */
export const CONCURRENCY = 8

/** A row whose handling fails is left alone: its claim runs out and it is due again. */
export const ofRows = <A, E1, R1, E2, R2>(
  name: string,
  claim: Effect.Effect<ReadonlyArray<A>, E1, R1>,
  handle: (row: A) => Effect.Effect<unknown, E2, R2>,
) =>
  Sweep.make({
    name,
    everyMs: EVERY_MS,
    maxPages: MAX_PAGES,
    page: Effect.flatMap(claim, (rows) =>
      Effect.forEach(
        rows,
        (row) =>
          handle(row).pipe(
            Effect.withTracerEnabled(true),
            Effect.catchAllCause((cause) => Effect.logWarning(`${name}: one is left for later`, cause)),
            Effect.uninterruptible,
          ),
        { concurrency: CONCURRENCY, discard: true },
      ).pipe(Effect.as(rows.length > 0)),
    ),
  })
