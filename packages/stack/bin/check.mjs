#!/usr/bin/env node
// `pnpm check`: everything that can be known without running the system. Ends with "N passed, N failed".
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { violations } from "./importTable.mjs"

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../../..")
const binaries = path.join(root, "node_modules", ".bin")

/** Longest time of one check. */
const limitMs = 15 * 60_000

const run = (command, args) =>
  new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd: root,
      stdio: ["ignore", "pipe", "pipe"],
      timeout: limitMs,
      // buf finds protoc-gen-es on the PATH.
      env: {
        ...process.env,
        PATH: `${binaries}${path.delimiter}${process.env.PATH}`,
        // Nothing leaves the machine.
        REDOCLY_TELEMETRY: "off",
        REDOCLY_SUPPRESS_UPDATE_NOTICE: "true",
      },
    })
    let output = ""
    child.stdout.on("data", (chunk) => {
      output += chunk
    })
    child.stderr.on("data", (chunk) => {
      output += chunk
    })
    child.once("error", (cause) => resolve({ ok: false, output: cause.message }))
    child.once("close", (code, signal) =>
      resolve({ ok: code === 0, output: signal ? `${output}\n${signal}` : output }),
    )
  })

const tool = (name, ...args) => run(path.join(binaries, name), args)

const inTemporaryFolder = async (work) => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "floodgate-check-"))
  try {
    return await work(folder)
  } finally {
    fs.rmSync(folder, { recursive: true, force: true })
  }
}

const filesIn = (folder) =>
  fs
    .readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(folder, path.join(entry.parentPath, entry.name)))
    .sort()

const typecheck = () =>
  run(process.execPath, [
    path.join(root, "node_modules", "typescript7", "bin", "tsc"),
    "-b",
    "--pretty",
    "false",
  ])

/** All packages as one program: five times quicker than one by one. */
const effectDiagnostics = async () => {
  const folder = path.join(root, ".build")
  const project = path.join(folder, "tsconfig.diagnostics.json")
  fs.mkdirSync(folder, { recursive: true })
  fs.writeFileSync(
    project,
    JSON.stringify({
      extends: "../tsconfig.base.json",
      compilerOptions: { noEmit: true, composite: false, incremental: false, declaration: false },
      include: ["../packages/*/src"],
      // The pages have no Effect, and need another library of types.
      exclude: ["../packages/contracts/src/gen", "../packages/web"],
    }),
  )
  const { ok, output } = await tool(
    "effect-language-service",
    ...["diagnostics", "--project", project, "--strict", "--format", "text"],
    // Without a configuration it checks nothing and reports success.
    ...["--lspconfig", '{"diagnostics":true}'],
  )
  const checked = Number(/Checked (\d+) files/.exec(output)?.[1] ?? 0)
  return checked === 0 ? { ok: false, output: `${output}\nIt checked 0 files.` } : { ok, output }
}

/** What generating into an empty folder gives is what is committed, file by file. */
const withoutDrift = (where, command, generate) =>
  inTemporaryFolder(async (folder) => {
    const { ok, output } = await generate(folder)
    if (!ok) return { ok, output }
    const [fresh, committed] = [path.join(folder, where), path.join(root, where)]
    const names = [...new Set([...filesIn(fresh), ...filesIn(committed)])]
    const content = (base, name) =>
      fs.existsSync(path.join(base, name)) ? fs.readFileSync(path.join(base, name), "utf8") : undefined
    const drifted = names.filter((name) => content(fresh, name) !== content(committed, name))
    return drifted.length === 0
      ? { ok: true, output: "" }
      : {
          ok: false,
          output: `"${command}" changes: ${drifted.map((name) => path.join(where, name)).join(", ")}`,
        }
  })

const generatedStubs = () =>
  withoutDrift(path.join("packages", "contracts", "src", "gen"), "npx buf generate", (folder) =>
    tool("buf", "generate", "-o", folder),
  )

const generatedClient = () => {
  const where = path.join("packages", "client", "src", "gen")
  const generator = path.join("packages", "client", "bin", "generate.mjs")
  return withoutDrift(where, `node ${generator}`, (folder) =>
    run(process.execPath, [path.join(root, generator), path.join(folder, where)]),
  )
}

const generatedDashboards = () => {
  const where = path.join("ops", "grafana", "dashboards")
  const generator = path.join("ops", "grafana", "src", "build.mjs")
  return withoutDrift(where, `node ${generator}`, (folder) =>
    run(process.execPath, [path.join(root, generator), path.join(folder, where)]),
  )
}

/** The document that `GET /openapi.json` answers. */
const openApi = () =>
  inTemporaryFolder(async (folder) => {
    const file = path.join(folder, "openapi.json")
    const made = await run(process.execPath, [path.join(root, "packages/client/bin/openapi.mjs"), file])
    if (!made.ok) return made
    return tool("redocly", "lint", file, "--config", path.join(root, "redocly.yaml"), "--format", "stylish")
  })

const importTable = async () => {
  const lines = violations(root)
  return { ok: lines.length === 0, output: lines.join("\n") }
}

const checks = [
  ["types", typecheck],
  ["Effect diagnostics", effectDiagnostics],
  ["format and lint", () => tool("biome", "ci", "--colors=off", "--max-diagnostics=50")],
  ["import table", importTable],
  ["protobuf lint", () => tool("buf", "lint")],
  [
    "protobuf compatibility",
    () => tool("buf", "breaking", "--against", path.join("proto", "baseline.binpb")),
  ],
  ["generated stubs", generatedStubs],
  ["generated client", generatedClient],
  ["OpenAPI document", openApi],
  ["generated dashboards", generatedDashboards],
]

let passed = 0
const failed = []
// The slow ones are first; two at a time is what a small machine bears.
const waiting = [...checks]
const worker = async () => {
  for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
    const [name, check] = next
    const began = Date.now()
    const { ok, output } = await check()
    const seconds = ((Date.now() - began) / 1000).toFixed(1)
    process.stdout.write(`${ok ? "✓" : "✗"} ${name} (${seconds} s)\n`)
    if (ok) passed++
    else {
      failed.push(name)
      process.stdout.write(`${output.trimEnd().replace(/^/gm, "    ")}\n`)
    }
  }
}
await Promise.all([worker(), worker()])
process.stdout.write(
  `\n${failed.length === 0 ? "" : `Failed: ${failed.join(", ")}\n`}${passed} passed, ${failed.length} failed\n`,
)
process.exitCode = failed.length === 0 ? 0 : 1
