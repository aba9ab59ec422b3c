import { assert, describe, it } from "@effect/vitest"
import { check } from "./Check.ts"
import { names, type Rule, rules } from "./Rules.ts"
import { play } from "./Run.ts"
import { scripts } from "./Script.ts"

/** Where each rule matters most, and the runs within which its absence must be found. */
const where: Readonly<Record<Rule, readonly [theme: string, runs: number]>> = {
  "cancel-cas": ["paying by card", 3_000],
  tombstone: ["selling", 1_000],
  fence: ["recovering", 500],
  "generation-check": ["recovering", 5_000],
  barrier: ["recovering", 3_000],
  "outbox-lease-epoch": ["sending", 3_000],
  inbox: ["sending", 1_000],
  "wallet-void": ["paying", 3_000],
  "capture-unique": ["paying by card", 500],
  "release-once": ["selling", 500],
  "one-open-intent": ["paying", 1_000],
  "request-id": ["selling", 500],
  "not-after": ["selling", 3_000],
  "keep-until-decided": ["selling", 5_000],
}

/** A short story is one that somebody reads. */
const MAX_COMMANDS = 14

describe("a sale without one of its rules", () => {
  for (const rule of names) {
    it(`is found out: ${rule}`, async () => {
      const [theme, runs] = where[rule]
      // Always the same scripts: whether they find it is a matter of the simulation, not of luck.
      const found = await check({ runs, seed: 1, scripts: scripts(theme), without: new Set([rule]) })
      assert.isDefined(found, `nothing was violated without the rule that ${rules[rule]}`)
      assert.isAtMost(found!.script.length, MAX_COMMANDS, found!.story)
      // The same script does no harm where the rule holds: it is the rule that was missed.
      assert.isUndefined(play(found!.script).violation)
      console.log(`${rule}: found in run ${found!.runs}\n${found!.story}`)
    }, 180_000)
  }
})
