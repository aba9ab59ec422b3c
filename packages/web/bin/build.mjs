#!/usr/bin/env node
// Builds the web pages where their sources have changed since the last build, compresses them, and holds the
// storefront's first load to its budget. The last line printed is the folder.
//
//   node packages/web/bin/build.mjs [--out DIR]
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import { createRequire } from "node:module"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { brotliCompress, constants, gzip } from "node:zlib"

/** What a first visit to the storefront may load: script and style, by gzip. */
const FIRST_LOAD_BYTES = 300_000
/** Builds that are kept beside the newest: an edge that starts may still read one. */
const KEPT_BUILDS = 3
const MIN_COMPRESSED_BYTES = 512

const home = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "..")
const root = path.resolve(home, "../..")
const builds = path.join(root, ".build", "web")
const stampFile = path.join(builds, "stamp.json")

/** Everything that goes into a build. Versions of packages are in the lockfile. */
const inputs = [
  "packages/web/src",
  "packages/web/bin",
  "packages/web/index.html",
  "packages/web/console.html",
  "packages/web/docs",
  "packages/web/vite.config.ts",
  "packages/web/package.json",
  "packages/client/src",
  "pnpm-lock.yaml",
]

const filesIn = (file) => {
  if (!fs.existsSync(file)) return []
  if (fs.statSync(file).isFile()) return [file]
  return fs
    .readdirSync(file, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath, entry.name))
}

const fingerprint = () => {
  const hash = createHash("sha256")
  const files = inputs
    .flatMap((input) => filesIn(path.join(root, input)))
    .filter((file) => !/\.test\.tsx?$/.test(file))
    .sort()
  for (const file of files) {
    const { mtimeMs, size } = fs.statSync(file)
    hash.update(`${path.relative(root, file)} ${mtimeMs} ${size}\n`)
  }
  return hash.digest("hex")
}

const current = (print) => {
  try {
    const stamp = JSON.parse(fs.readFileSync(stampFile, "utf8"))
    const folder = path.join(builds, stamp.build)
    return stamp.print === print && fs.existsSync(path.join(folder, "index.html")) ? folder : undefined
  } catch {
    return undefined
  }
}

const kB = (bytes) => `${(bytes / 1000).toFixed(1)} kB`

/** Script and style that an entry loads before anything else happens. */
const firstLoad = (manifest, entry) => {
  const seen = new Set()
  const files = new Set()
  const visit = (key) => {
    if (seen.has(key)) return
    seen.add(key)
    const chunk = manifest[key]
    files.add(chunk.file)
    for (const style of chunk.css ?? []) files.add(style)
    for (const next of chunk.imports ?? []) visit(next)
  }
  visit(entry)
  return [...files].filter((file) => /\.(js|css)$/.test(file))
}

/** The API's documentation: Swagger UI as it comes, which is bundled already, under names that change with its content. */
const writeDocs = (folder) => {
  const swagger = path.dirname(createRequire(import.meta.url).resolve("swagger-ui-dist/package.json"))
  let page = fs.readFileSync(path.join(home, "docs", "docs.html"), "utf8")
  for (const file of [
    path.join(swagger, "swagger-ui.css"),
    path.join(swagger, "swagger-ui-bundle.js"),
    path.join(home, "docs", "start.js"),
  ]) {
    const bytes = fs.readFileSync(file)
    const { base, ext, name } = path.parse(file)
    const hashed = `docs-${name}-${createHash("sha256").update(bytes).digest("hex").slice(0, 8)}${ext}`
    fs.writeFileSync(path.join(folder, "assets", hashed), bytes)
    page = page.replace(`"${base}"`, `"/assets/${hashed}"`)
  }
  fs.writeFileSync(path.join(folder, "docs.html"), page)
}

const compressed = async (folder) => {
  const sizes = new Map()
  for (const file of filesIn(folder)) {
    if (!/\.(html|js|css|svg)$/.test(file)) continue
    const bytes = fs.readFileSync(file)
    const [gz, br] = await Promise.all([
      promisify(gzip)(bytes, { level: 9 }),
      promisify(brotliCompress)(bytes, {
        // Beyond it, a few per cent cost many times as long.
        params: { [constants.BROTLI_PARAM_QUALITY]: 8, [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length },
      }),
    ])
    sizes.set(path.relative(folder, file).replaceAll(path.sep, "/"), gz.length)
    if (bytes.length < MIN_COMPRESSED_BYTES) continue
    fs.writeFileSync(`${file}.gz`, gz)
    fs.writeFileSync(`${file}.br`, br)
  }
  return sizes
}

const prune = (newest) => {
  const folders = fs
    .readdirSync(builds, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && /^[0-9a-f]{16}$/.test(entry.name) && entry.name !== newest)
    .map((entry) => path.join(builds, entry.name))
    .sort((a, b) => fs.statSync(b).mtimeMs - fs.statSync(a).mtimeMs)
  for (const folder of folders.slice(KEPT_BUILDS)) fs.rmSync(folder, { recursive: true, force: true })
}

const make = async (print) => {
  // Whoever runs the tests has another value here, and React's development build isn't what people get.
  process.env.NODE_ENV = "production"
  const { build } = await import("vite")
  const name = print.slice(0, 16)
  // Complete or not there at all, whoever else builds at this moment.
  const writing = path.join(builds, `writing-${name}-${process.pid}`)
  try {
    await build({
      root: home,
      configFile: path.join(home, "vite.config.ts"),
      logLevel: "warn",
      build: { outDir: writing, emptyOutDir: true },
    })
    const manifestFile = path.join(writing, ".vite", "manifest.json")
    const manifest = JSON.parse(fs.readFileSync(manifestFile, "utf8"))
    fs.rmSync(path.dirname(manifestFile), { recursive: true })
    writeDocs(writing)
    const sizes = await compressed(writing)
    for (const [entry, budget] of [
      ["index.html", FIRST_LOAD_BYTES],
      ["console.html", undefined],
    ]) {
      const bytes = firstLoad(manifest, entry).reduce((sum, file) => sum + (sizes.get(file) ?? 0), 0)
      const said = budget === undefined ? "" : ` of at most ${kB(budget)}`
      console.log(`${entry}: a first load of ${kB(bytes)} (gzip)${said}`)
      if (budget !== undefined && bytes > budget) throw new Error(`${entry} has become too large`)
    }
    const folder = path.join(builds, name)
    fs.rmSync(folder, { recursive: true, force: true })
    fs.renameSync(writing, folder)
    fs.writeFileSync(`${stampFile}.${process.pid}`, JSON.stringify({ print, build: name }))
    fs.renameSync(`${stampFile}.${process.pid}`, stampFile)
    prune(name)
    return folder
  } finally {
    fs.rmSync(writing, { recursive: true, force: true })
  }
}

const out = process.argv[2] === "--out" ? process.argv[3] : undefined
const print = fingerprint()
fs.mkdirSync(builds, { recursive: true })
const folder = current(print) ?? (await make(print))
if (out !== undefined) fs.cpSync(folder, path.resolve(out), { recursive: true })
console.log(out === undefined ? folder : path.resolve(out))
