/**
 * The limits in force, with what experiments set for their users in place of the limits' own numbers. The limiter asks
 * once a key and remembers, so this costs a request nothing.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { LimitSettings } from "../limits/LimitSettings.ts"
import { table } from "../limits/LimitTable.ts"
import { Experiments } from "./Experiments.ts"

/** `LimitSettings` over the ones given to it. */
export const layer = Layer.effect(
  LimitSettings,
  Effect.gen(function* () {
    const settings = yield* LimitSettings
    const experiments = yield* Experiments
    return LimitSettings.of({
      ...settings,
      rateOf: (name, key) => {
        // Users' keys are numbers; so are products', of whose limit no experiment can be.
        const gray = typeof key === "number" ? experiments.limitOf(name, key) : undefined
        return gray === undefined
          ? settings.rateOf(name, key)
          : { rate: gray.rate / table[name].periodS, burst: gray.burst }
      },
      epoch: () => settings.epoch() + experiments.limitsEpoch(),
    })
  }),
)
