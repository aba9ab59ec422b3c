import { assert, describe, it } from "@effect/vitest"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { check } from "./Check.ts"

/** Runs of one CI; some tens of seconds. */
const RUNS = 10_000

/** The same runs every time: a change is judged by its own doing, not by luck. A hunt takes SIMULATION_SEED=random. */
const SEED = 20_261_123

const settings = Config.all({
  runs: Config.integer("SIMULATION_RUNS").pipe(Config.withDefault(RUNS)),
  seed: Config.literal("random")("SIMULATION_SEED").pipe(
    Config.map(() => Date.now() % 2 ** 31),
    Config.orElse(() => Config.integer("SIMULATION_SEED")),
    Config.withDefault(SEED),
  ),
  path: Config.nonEmptyString("SIMULATION_PATH").pipe(Config.option),
})

describe("the simulated sale", () => {
  it.effect(
    "keeps every promise under seeded interleavings of buyers, faults and clock",
    () =>
      Effect.gen(function* () {
        const { path, runs, seed } = yield* Effect.orDie(settings)
        yield* Effect.sync(() => console.log(`SIMULATION_SEED=${seed}`))
        const found = yield* Effect.promise(() =>
          check({ runs, seed, ...(Option.isSome(path) ? { path: path.value } : {}) }),
        )
        if (found === undefined) return
        assert.fail(
          `${found.violation}\n\n${found.story}\n\nagain: SIMULATION_SEED=${found.seed} SIMULATION_PATH=${found.path}`,
        )
      }),
    300_000,
  )
})
