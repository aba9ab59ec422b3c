/** Makes a counterexample as short as it gets: no command can be left out, and no process goes further than it must. */
import type { Rule } from "./Rules.ts"
import * as Run from "./Run.ts"
import type { Command } from "./Script.ts"

const fails = (script: ReadonlyArray<Command>, without: ReadonlySet<Rule>): boolean =>
  Run.play(script, without).violation !== undefined

/** A shorter script that fails, too; the same one where it is minimal. */
export const minimize = (
  script: ReadonlyArray<Command>,
  without: ReadonlySet<Rule>,
): ReadonlyArray<Command> => {
  let best = script
  for (let shorter = true; shorter; ) {
    shorter = false
    for (let size = Math.ceil(best.length / 2); size >= 1; size = Math.floor(size / 2)) {
      for (let at = 0; at < best.length; ) {
        const candidate = [...best.slice(0, at), ...best.slice(at + size)]
        if (fails(candidate, without)) {
          best = candidate
          shorter = true
        } else at += size
      }
    }
    for (const [at, command] of best.entries()) {
      if (command.does !== "run") continue
      for (let steps = 1; steps < command.steps; steps++) {
        const candidate = best.with(at, { ...command, steps })
        if (!fails(candidate, without)) continue
        best = candidate
        shorter = true
        break
      }
    }
  }
  return best
}
