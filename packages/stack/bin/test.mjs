#!/usr/bin/env node
// `pnpm test`: the simulation, the packages' own tests on real engines, then the black-box tests on a whole stack, one
// after the other because each wants all of a small machine. `pnpm test --only browser` (or `ops`): one project alone,
// here the pages in a real browser, or what operators rely on beside real watchers. Other arguments go to vitest. Ends
// with a line for each test that failed ("failed: file > name: why") and "N passed, N failed".
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { fileURLToPath } from "node:url"

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../../..")
const vitest = path.join(root, "node_modules", "vitest", "vitest.mjs")
const reports = fs.mkdtempSync(path.join(os.tmpdir(), "floodgate-test-"))

/** The beginning of a failure's message, on one line: enough to know it by where only the end of the output is kept. */
const firstLines = (message = "") => message.split("\n").slice(0, 3).join(" ").slice(0, 400)

/** Runs one project; what its report counts. A run without a report, or one that fails without a failing test, is a failure. */
const run = (project, args) =>
  new Promise((resolve) => {
    const report = path.join(reports, `${project}.json`)
    const child = spawn(
      process.execPath,
      [
        vitest,
        "run",
        "--project",
        project,
        "--passWithNoTests",
        "--reporter=default",
        "--reporter=json",
        `--outputFile.json=${report}`,
        ...args,
      ],
      { cwd: root, stdio: "inherit" },
    )
    child.once("close", (status) => {
      let passed = 0
      let failed = 0
      const failures = []
      try {
        for (const file of JSON.parse(fs.readFileSync(report, "utf8")).testResults) {
          const count = (kind) => file.assertionResults.filter((test) => test.status === kind).length
          passed += count("passed")
          const name = path.relative(root, file.name)
          for (const test of file.assertionResults.filter((test) => test.status === "failed"))
            failures.push(`${name} > ${test.fullName}: ${firstLines(test.failureMessages[0])}`)
          if (file.status === "failed" && count("failed") === 0)
            failures.push(`${name}: ${firstLines(file.message)}`)
          // A file that can't even be loaded has no tests of its own.
          failed += count("failed") || (file.status === "failed" ? 1 : 0)
        }
      } catch {
        failed++
      }
      if (status !== 0 && failed === 0) failed++
      resolve({ passed, failed, failures })
    })
  })

// Ctrl-C reaches vitest by itself; this process stays to clean up after it.
process.on("SIGINT", () => undefined)

const args = process.argv.slice(2)
const only = args[0] === "--only" ? args.splice(0, 2)[1] : undefined

let passed = 0
let failed = 0
const failures = []
for (const project of only === undefined ? ["simulation", "packages", "e2e"] : [only]) {
  const counts = await run(project, args)
  passed += counts.passed
  failed += counts.failed
  failures.push(...counts.failures)
}
fs.rmSync(reports, { recursive: true, force: true })
for (const failure of failures) console.log(`failed: ${failure}`)
console.log(`${passed} passed, ${failed} failed`)
process.exit(failed === 0 && passed > 0 ? 0 : 1)
