/** What ordering shows of the comparison of the stores. */
import * as Instrument from "@floodgate/runtime/metrics/Instrument"
import * as Sampler from "@floodgate/runtime/metrics/Sampler"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { DriftStore } from "./DriftStore.ts"
import { kinds } from "./domain/DriftKind.ts"

const drift = Instrument.gauge(
  "floodgate_reconciliation_drift",
  "Confirmed differences between the stores that aren't repaired, by kind",
  { kind: kinds },
)
const checked = Instrument.gauge(
  "floodgate_reconciliation_last_checked_timestamp_seconds",
  "When the stores were last compared, Unix time; 0 before the first time",
  {},
)
const complete = Instrument.gauge(
  "floodgate_reconciliation_complete",
  "1 where the last comparison could read every ledger",
  {},
)

/** Looks at what the reconciler wrote down, while the scope is open: whichever process it runs in. */
export const layer: Layer.Layer<never, never, DriftStore> = Layer.scopedDiscard(
  Effect.gen(function* () {
    const drifts = yield* DriftStore
    yield* Sampler.make(
      "reconciliation",
      Effect.gen(function* () {
        for (const [kind, count] of yield* drifts.openCounts) drift.set({ kind }, count)
        const last = yield* drifts.lastRound
        checked.set({}, (last.checkedAtMs ?? 0) / 1_000)
        complete.set({}, last.complete ? 1 : 0)
      }),
    )
  }),
)
