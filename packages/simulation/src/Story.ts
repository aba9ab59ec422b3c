/** A counterexample for people: who did what, in order. */
import type { Rule } from "./Rules.ts"
import * as Run from "./Run.ts"
import type { Command } from "./Script.ts"

/** Lines of a story; the calm before the end of a long one is left out in the middle. */
const MAX_LINES = 120

export const tell = (script: ReadonlyArray<Command>, without: ReadonlySet<Rule>): string => {
  const lines: Array<string> = []
  const { violation } = Run.play(script, without, (who, what) => {
    lines.push(`${String(lines.length + 1).padStart(4)}. ${who}: ${what}`)
  })
  const half = MAX_LINES / 2
  const shown =
    lines.length <= MAX_LINES
      ? lines
      : [...lines.slice(0, half), `      … ${lines.length - MAX_LINES} more …`, ...lines.slice(-half)]
  return [...shown, `      => ${violation ?? "nothing was violated"}`].join("\n")
}
