/** Plays many scripts and says what the first that breaks a promise does, as a story. */
import * as fc from "effect/FastCheck"
import { minimize } from "./Minimize.ts"
import type { Rule } from "./Rules.ts"
import * as Run from "./Run.ts"
import { anyScript, type Command } from "./Script.ts"
import * as Story from "./Story.ts"

export interface Found {
  /** Runs until then. */
  readonly runs: number
  readonly seed: number
  /** With the seed, leads fast-check to this very script again. */
  readonly path: string
  readonly script: ReadonlyArray<Command>
  readonly violation: string
  readonly story: string
}

export interface Options {
  readonly runs: number
  readonly seed: number
  readonly path?: string
  readonly scripts?: fc.Arbitrary<ReadonlyArray<Command>>
  readonly without?: ReadonlySet<Rule>
}

/** The first counterexample, made small; undefined where every promise held in every run. */
export const check = (options: Options): Found | undefined => {
  const without = options.without ?? new Set()
  const holds = fc.property(
    options.scripts ?? anyScript,
    (script) => Run.play(script, without).violation === undefined,
  )
  const out = fc.check(holds, {
    numRuns: options.runs,
    seed: options.seed,
    ...(options.path === undefined ? {} : { path: options.path }),
  })
  if (!out.failed) return undefined
  // A defect of the simulation itself, not of a promise.
  if (out.counterexample === null) throw out.errorInstance
  const script = minimize(out.counterexample[0], without)
  return {
    runs: out.numRuns,
    seed: out.seed,
    path: out.counterexamplePath ?? "",
    script,
    violation: Run.play(script, without).violation ?? "a defect",
    story: Story.tell(script, without),
  }
}
