#!/usr/bin/env node
// The launcher: bundles the command line and the services with one esbuild call when their sources have changed, then
// runs the command line in this process. Plain JavaScript, because it runs before anything is built.
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import { parseArgs } from "node:util"
import { externals, release } from "./release.mjs"

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../../..")
const buildRoot = path.join(root, ".build")

/** A build for fault tests has hooks at which they kill a process between two steps; in every other they fold away. */
const withFaults = process.env.FLOODGATE_FAULT_HOOKS === "1"
const stampFile = path.join(buildRoot, withFaults ? "stamp-faults.json" : "stamp.json")

const cli = { cli: "packages/stack/src/cli.ts" }
const serviceEntries = {
  edge: "packages/edge/src/main.ts",
  identity: "packages/identity/src/main.ts",
  inventory: "packages/inventory/src/main.ts",
  ordering: "packages/ordering/src/main.ts",
  payment: "packages/payment/src/main.ts",
  sandbox: "packages/payment/src/sandbox/main.ts",
}

/** What a deployment runs: every service but the stand-in of a third party, and the jobs that come before them. */
const releaseEntries = () => {
  const { sandbox: _, ...services } = exists(serviceEntries)
  return { ...services, job: "packages/stack/src/job.ts" }
}

/** Builds that are kept beside the newest: a stack that runs may still load a part of its own. */
const keptBuilds = 4

const exists = (entries) =>
  Object.fromEntries(Object.entries(entries).filter(([, file]) => fs.existsSync(path.join(root, file))))

const fingerprint = (file) => {
  try {
    const { mtimeMs, size } = fs.statSync(path.join(root, file))
    return `${mtimeMs} ${size}`
  } catch {
    return "absent"
  }
}

/** The last build, when no file that went into it has changed since and no entry has come or gone. */
const current = (entries) => {
  try {
    const stamp = JSON.parse(fs.readFileSync(stampFile, "utf8"))
    const same =
      JSON.stringify(stamp.entries) === JSON.stringify(entries) &&
      Object.entries(stamp.inputs).every(([file, print]) => fingerprint(file) === print) &&
      fs.existsSync(path.join(buildRoot, stamp.build, "cli.js"))
    return same ? stamp.build : undefined
  } catch {
    return undefined
  }
}

const bundle = async (esbuild, entries) => {
  const result = await esbuild.build({
    absWorkingDir: root,
    entryPoints: entries,
    // Source maps are relative to it; each build has a folder of its own.
    outdir: path.join(buildRoot, "build"),
    write: false,
    bundle: true,
    splitting: true,
    format: "esm",
    platform: "node",
    target: "node20",
    conditions: ["@floodgate/source"],
    external: externals,
    sourcemap: "linked",
    sourcesContent: false,
    // Names are not kept (`keepNames`): that defines the name of every closure anew each time it is made, and cost the
    // edge half of its processor time in a rush. What two files call the same gets a digit at its end.
    define: { "globalThis.__FLOODGATE_FAULTS__": String(withFaults) },
    // Takes out what the constant makes unreachable.
    minifySyntax: true,
    metafile: true,
    logLevel: "silent",
    banner: {
      js: 'import { createRequire as __createRequire } from "node:module"; const require = __createRequire(import.meta.url);',
    },
  })
  const hash = createHash("sha256")
  for (const { path: file, contents } of result.outputFiles) hash.update(path.basename(file)).update(contents)
  const build = hash.digest("hex").slice(0, 16)
  const folder = path.join(buildRoot, build)
  if (!fs.existsSync(folder)) {
    // Complete or not there at all, whoever else builds at this moment.
    const writing = path.join(buildRoot, `writing-${build}-${process.pid}`)
    fs.mkdirSync(writing, { recursive: true })
    for (const { path: file, contents } of result.outputFiles) {
      fs.writeFileSync(path.join(writing, path.basename(file)), contents)
    }
    try {
      fs.renameSync(writing, folder)
    } catch (cause) {
      fs.rmSync(writing, { recursive: true, force: true })
      if (!fs.existsSync(folder)) throw cause
    }
  }
  // The lock file, too: another version of a package lies in another folder, and leaves the one that was read as it is.
  return { build, inputs: ["pnpm-lock.yaml", ...Object.keys(result.metafile.inputs)] }
}

const isAlive = (pid) => {
  try {
    process.kill(pid, 0)
    return true
  } catch (cause) {
    return cause.code === "EPERM"
  }
}

const usersOf = (folder) => path.join(folder, "users")

/** Removes old builds that no living process has marked as its own. */
const prune = (newest) => {
  const folders = fs
    .readdirSync(buildRoot, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && entry.name !== newest && /^[0-9a-f]{16}$/.test(entry.name))
    .map((entry) => path.join(buildRoot, entry.name))
    .sort((a, b) => fs.statSync(b).mtimeMs - fs.statSync(a).mtimeMs)
  for (const folder of folders.slice(keptBuilds)) {
    const users = fs.existsSync(usersOf(folder)) ? fs.readdirSync(usersOf(folder)) : []
    if (!users.some((pid) => isAlive(Number(pid)))) fs.rmSync(folder, { recursive: true, force: true })
  }
}

const messages = (cause) =>
  Array.isArray(cause?.errors) && cause.errors.length > 0
    ? cause.errors
        .slice(0, 10)
        .map(({ text, location }) => `  ${location ? `${location.file}:${location.line}: ` : ""}${text}`)
        .join("\n")
    : `  ${cause?.message ?? cause}`

const prepare = async () => {
  const services = exists(serviceEntries)
  const entries = { ...cli, ...services }
  const known = current(entries)
  if (known !== undefined) return { folder: path.join(buildRoot, known) }
  const esbuild = await import("esbuild")
  fs.mkdirSync(buildRoot, { recursive: true })
  try {
    const { build, inputs } = await bundle(esbuild, entries)
    const stamp = {
      build,
      entries,
      inputs: Object.fromEntries(inputs.map((file) => [file, fingerprint(file)])),
    }
    const writing = `${stampFile}.${process.pid}`
    fs.writeFileSync(writing, JSON.stringify(stamp))
    fs.renameSync(writing, stampFile)
    prune(build)
    return { folder: path.join(buildRoot, build) }
  } catch (cause) {
    // A stack that runs must be stoppable while a service's source is broken: the command line alone, then.
    const { build } = await bundle(esbuild, cli).catch((ours) => {
      throw new Error(`The command line can't be bundled:\n${messages(ours)}`)
    })
    return {
      folder: path.join(buildRoot, build),
      problem: `The services can't be bundled:\n${messages(cause)}`,
    }
  } finally {
    await esbuild.stop()
  }
}

/** `stack build --out DIR`: bundles what a deployment runs into a folder of its own, and runs nothing. */
const buildRelease = async (args) => {
  const { values } = parseArgs({ args, options: { out: { type: "string" } } })
  if (values.out === undefined) throw new Error('Where to? "pnpm stack build --out DIR"')
  if (withFaults) throw new Error("A release has no fault hooks: unset FLOODGATE_FAULT_HOOKS.")
  const out = path.resolve(process.env.INIT_CWD ?? process.cwd(), values.out)
  const esbuild = await import("esbuild")
  fs.mkdirSync(buildRoot, { recursive: true })
  try {
    const { build } = await bundle(esbuild, releaseEntries())
    release({ root, bundles: path.join(buildRoot, build), out })
  } catch (cause) {
    throw new Error(`It can't be built:\n${messages(cause)}`)
  } finally {
    await esbuild.stop()
  }
  process.stdout.write(`Built into ${out}.\n`)
}

process.setSourceMapsEnabled(true)
if (process.argv[2] === "build") {
  try {
    await buildRelease(process.argv.slice(3))
    process.exit(0)
  } catch (cause) {
    process.stderr.write(`${cause.message}\n`)
    process.exit(1)
  }
}
let build
try {
  build = await prepare()
} catch (cause) {
  process.stderr.write(`${cause.message}\n`)
  process.exit(1)
}
const mark = path.join(usersOf(build.folder), String(process.pid))
fs.mkdirSync(path.dirname(mark), { recursive: true })
fs.writeFileSync(mark, "")
process.once("exit", () => fs.rmSync(mark, { force: true }))
const { main } = await import(pathToFileURL(path.join(build.folder, "cli.js")).href)
process.exit(await main({ root, build, argv: process.argv.slice(2) }))
