/**
 * The fault suite: each row of the fault table is run against a whole stack, healed, and every invariant is checked.
 * `pnpm test:faults --help` says how to run one row, many times, or again with its seed.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { Dice } from "./Dice.ts"
import { Report } from "./Report.ts"
import { rows } from "./rows/index.ts"
import * as Settings from "./Settings.ts"
import { nameOf, type Row, Trial } from "./Trial.ts"
import { World, type WorldName } from "./World.ts"

/** What the verdict may take beyond the fault itself: recovery, the crowd's last wishes, every number's outcome. */
const VERDICT_MS = 600_000

/** Some forty processes on a machine that may be busy; what is cut off here would go on by itself. */
const START_MS = 1_200_000

const say = (line: string): void => {
  process.stderr.write(`${line}\n`)
}

const report = new Report(Settings.report)

const chosen = rows.filter(
  (row) =>
    Settings.rows === undefined || Settings.rows.has(String(row.number)) || Settings.rows.has(nameOf(row)),
)

const worldOf = (row: Row): WorldName => row.world ?? "sale"

describe.each([...new Set(chosen.map(worldOf))])("on the %s stack", (name) => {
  let world: World | undefined
  let failed = false

  beforeAll(async () => {
    const began = Date.now()
    world = await World.start(name)
    say(`the ${name} stack is up after ${Date.now() - began} ms; seed ${Settings.seed}`)
  }, START_MS)

  afterAll(async () => {
    const keep = Settings.keep && failed
    await world?.stop(keep)
    if (keep) say(`kept: ${world?.stack.data}`)
  }, 120_000)

  for (const row of chosen.filter((each) => worldOf(each) === name)) {
    for (const repetition of Settings.repetitions) {
      const title = `${nameOf(row)}: ${row.promise}${Settings.times > 1 ? ` (${repetition})` : ""}`
      it(
        title,
        async () => {
          const seed = `${Settings.seed}/${nameOf(row)}/${repetition}`
          const began = Date.now()
          const trial = await Trial.begin(world!, row, new Dice(seed))
          const problem = await row.run(trial).then(
            () => undefined,
            (cause: unknown) => cause,
          )
          const verdict = await trial.verdict().catch((cause: unknown) => ({
            violations: [`there is no verdict: ${cause instanceof Error ? cause.message : cause}`],
            sellsAgainMs: undefined,
            atRestMs: undefined,
            notes: trial.notes,
          }))
          await trial.end()
          const violations = [
            ...(problem === undefined
              ? []
              : [
                  `the row itself: ${problem instanceof Error ? (problem.stack ?? problem.message) : problem}`,
                ]),
            ...verdict.violations,
          ]
          failed ||= violations.length > 0
          report.add({
            row: nameOf(row),
            promise: row.promise,
            seed,
            violations,
            sells_again_ms: verdict.sellsAgainMs ?? null,
            at_rest_ms: verdict.atRestMs ?? null,
            took_ms: Date.now() - began,
            notes: verdict.notes,
          })
          say(
            `row ${nameOf(row)}: ${violations.length === 0 ? "held" : `BROKEN (seed ${seed})`}; sells again after ${verdict.sellsAgainMs ?? "–"} ms, at rest after ${verdict.atRestMs ?? "–"} ms; ${verdict.notes.join("; ")}`,
          )
          for (const sentence of violations) say(`  ${sentence}`)
          expect(violations).toEqual([])
        },
        (row.limitMs ?? 60_000) + VERDICT_MS,
      )
    }
  }
})

if (chosen.length === 0) {
  it("has the rows that were asked for", () => {
    expect(chosen.length).toBeGreaterThan(0)
  })
}
