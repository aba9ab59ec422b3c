import { assert, describe, it } from "@effect/vitest"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { check } from "./Check.ts"

/** Runs of one CI; some tens of seconds. */
const RUNS = 10_000

const settings = Config.all({
  runs: Config.integer("SIMULATION_RUNS").pipe(Config.withDefault(RUNS)),
  seed: Config.integer("SIMULATION_SEED").pipe(Config.option),
  path: Config.nonEmptyString("SIMULATION_PATH").pipe(Config.option),
})

describe("the simulated sale", () => {
  it.effect(
    "keeps every promise under seeded interleavings of buyers, faults and clock",
    () =>
      Effect.gen(function* () {
        const { path, runs, seed } = yield* Effect.orDie(settings)
        const chosen = Option.getOrElse(seed, () => Date.now() % 2 ** 31)
        const found = check({ runs, seed: chosen, ...(Option.isSome(path) ? { path: path.value } : {}) })
        if (found === undefined) return
        assert.fail(
          `${found.violation}\n\n${found.story}\n\nagain: SIMULATION_SEED=${found.seed} SIMULATION_PATH=${found.path}`,
        )
      }),
    300_000,
  )
})
