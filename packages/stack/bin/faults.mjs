#!/usr/bin/env node
// `pnpm test:faults`: the fault suite on stacks of its own. Ends with a table of what happened and "N passed, N failed".
import { spawn } from "node:child_process"
import { randomBytes } from "node:crypto"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"

const help = `Usage: pnpm test:faults [options]

  --row 5[,7]          only these rows of the fault table; "14 replayed" is one face of a row
  --times N            each row so many times (1)
  --campaign N         the same, for a long run that can be split:
  --part 1/4           of the repetitions, the first, fifth, ninth …
  --seed S             the choices of an earlier run; each run prints its own
  --report FILE        the results as JSON (or FAULTS_REPORT=FILE)
  --keep               leave the data and logs of a stack in which a row failed`

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../../..")
const { values } = parseArgs({
  args: process.argv.slice(2).filter((word) => word !== "--"),
  options: {
    row: { type: "string" },
    times: { type: "string", default: "1" },
    campaign: { type: "string" },
    part: { type: "string", default: "1/1" },
    seed: { type: "string" },
    report: { type: "string" },
    keep: { type: "boolean", default: false },
    help: { type: "boolean", short: "h", default: false },
  },
})

const isWrong =
  (values.row !== undefined && !/^\d+[a-z ]*(,\d+[a-z ]*)*$/.test(values.row)) ||
  !/^[1-9]\d*$/.test(values.campaign ?? values.times) ||
  !/^[1-9]\d*\/[1-9]\d*$/.test(values.part)
if (values.help || isWrong) {
  console.log(help)
  process.exit(values.help ? 0 : 1)
}

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "floodgate-faults-report-"))
const here = process.env.INIT_CWD ?? process.cwd()
const wanted = values.report ?? process.env.FAULTS_REPORT
const report = wanted ? path.resolve(here, wanted) : path.join(folder, "faults.json")
const counts = path.join(folder, "vitest.json")
const seed = values.seed ?? randomBytes(4).toString("hex")
fs.rmSync(report, { force: true })

console.log(`seed ${seed}`)
const child = spawn(
  process.execPath,
  [
    path.join(root, "node_modules", "vitest", "vitest.mjs"),
    ...["run", "--project", "faults", "--reporter=default", "--reporter=json", `--outputFile.json=${counts}`],
  ],
  {
    cwd: root,
    stdio: "inherit",
    env: {
      ...process.env,
      FAULTS_ROWS: values.row ?? "",
      FAULTS_TIMES: values.campaign ?? values.times,
      FAULTS_PART: values.part,
      FAULTS_SEED: seed,
      FAULTS_REPORT: report,
      FAULTS_KEEP: values.keep ? "1" : "",
    },
  },
)
// Ctrl-C reaches vitest by itself; this process stays to clean up after it.
process.on("SIGINT", () => undefined)

const read = (file, otherwise) => {
  try {
    return JSON.parse(fs.readFileSync(file, "utf8"))
  } catch {
    return otherwise
  }
}

/** From the fastest to the slowest, in seconds. */
const span = (values) => {
  const known = values.filter((value) => value !== null)
  if (known.length === 0) return "–"
  const seconds = (ms) => (ms / 1000).toFixed(1)
  const [low, high] = [seconds(Math.min(...known)), seconds(Math.max(...known))]
  return low === high ? `${low} s` : `${low}–${high} s`
}

const table = (results) => {
  const byRow = new Map()
  for (const each of results) byRow.set(each.row, [...(byRow.get(each.row) ?? []), each])
  const rows = [...byRow].map(([row, runs]) => [
    row,
    String(runs.length),
    String(runs.reduce((sum, { violations }) => sum + violations.length, 0)),
    span(runs.map(({ sells_again_ms }) => sells_again_ms)),
    span(runs.map(({ at_rest_ms }) => at_rest_ms)),
    span(runs.map(({ took_ms }) => took_ms)),
    runs[0].promise,
  ])
  const all = [["row", "runs", "violations", "sells again", "at rest", "took", "promise"], ...rows]
  const widths = all[0].map((_, column) => Math.max(...all.map((row) => row[column].length)))
  return all
    .map((row) => `  ${row.map((cell, column) => cell.padEnd(widths[column])).join("  ")}`.trimEnd())
    .join("\n")
}

child.once("close", (status) => {
  const results = read(report, [])
  console.log(`\nFaults, seed ${seed}:\n${table(results)}`)
  for (const { row, seed: own, violations } of results) {
    for (const sentence of violations) console.log(`  row ${row} (seed ${own}): ${sentence}`)
  }
  let passed = 0
  let failed = 0
  for (const file of read(counts, { testResults: [] }).testResults) {
    const count = (kind) => file.assertionResults.filter((test) => test.status === kind).length
    passed += count("passed")
    // A file that can't even be loaded has no tests of its own.
    failed += count("failed") || (file.status === "failed" ? 1 : 0)
  }
  if (status !== 0 && failed === 0) failed++
  fs.rmSync(folder, { recursive: true, force: true })
  console.log(`${passed} passed, ${failed} failed`)
  process.exit(failed === 0 && passed > 0 ? 0 : 1)
})
