// `stack build --out DIR`: everything that a container of Floodgate needs, in one folder that can be moved: the bundles,
// the packages that can't be bundled, the web pages, scripts, migrations and the settings of each environment.
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"

/**
 * Packages that bundles load at run time. thriftrw (in exporter-jaeger) reads files beside itself, argon2 and sharp are
 * native modules.
 */
export const externals = ["@opentelemetry/exporter-jaeger", "@node-rs/argon2", "sharp"]

const manifest = (folder) => JSON.parse(fs.readFileSync(path.join(folder, "package.json"), "utf8"))

/** The real folder of a package, as Node finds it from `folder`; undefined where it isn't installed. */
const locate = (name, folder) => {
  for (let at = folder; ; at = path.dirname(at)) {
    const found = path.join(at, "node_modules", name)
    if (path.basename(at) !== "node_modules" && fs.existsSync(path.join(found, "package.json"))) {
      return fs.realpathSync(found)
    }
    if (at === path.dirname(at)) return undefined
  }
}

/** What a package needs beside itself; the optional ones are those of other platforms. */
const needsOf = ({ dependencies = {}, optionalDependencies = {}, peerDependencies = {} }) => [
  ...Object.keys(dependencies).map((name) => ({ name, must: !(name in optionalDependencies) })),
  ...Object.keys({ ...optionalDependencies, ...peerDependencies }).map((name) => ({ name, must: false })),
]

/** Copies packages with all that they need, as the lockfile installed them: flat, a second version beside its user. */
const copyPackages = (names, root, out) => {
  const versions = new Map()
  const copy = (name, must, from, into) => {
    const source = locate(name, from)
    if (source === undefined) {
      if (must) throw new Error(`${name} isn't installed: run "pnpm install" first`)
      return
    }
    const wanted = manifest(source)
    const flat = versions.get(name)
    if (flat === wanted.version) return
    if (flat === undefined) versions.set(name, wanted.version)
    const target = path.join(flat === undefined ? out : into, "node_modules", name)
    // Its own needs are copied one by one, and this also ends a circle of nested ones.
    if (fs.existsSync(target)) return
    fs.cpSync(source, target, {
      recursive: true,
      dereference: true,
      filter: (file) => !path.relative(source, file).split(path.sep).includes("node_modules"),
    })
    for (const need of needsOf(wanted)) copy(need.name, need.must, source, target)
  }
  for (const name of names) copy(name, true, root, out)
}

const migrationsOf = (root) =>
  fs
    .readdirSync(path.join(root, "packages"))
    .map((name) => path.join("packages", name, "migrations"))
    .filter((folder) => fs.existsSync(path.join(root, folder)))

/** The storefront, the console and the API's page. Fails where they can't be built: a release is complete or isn't one. */
const buildPages = (root, out) => {
  const script = path.join(root, "packages", "web", "bin", "build.mjs")
  try {
    execFileSync(process.execPath, [script, "--out", out], { cwd: root, stdio: ["ignore", "pipe", "pipe"] })
  } catch (cause) {
    throw new Error(
      `the web pages: ${String(cause.stderr || cause.stdout || cause)
        .trimEnd()
        .slice(-2_000)}`,
    )
  }
}

/** Fills `out`, which must be empty or absent, with what the bundles in `bundles` and their processes need. */
export const release = ({ root, bundles, out }) => {
  if (fs.existsSync(out) && fs.readdirSync(out).length > 0) throw new Error(`${out} isn't empty`)
  fs.mkdirSync(out, { recursive: true })
  for (const file of fs.readdirSync(bundles, { withFileTypes: true })) {
    if (file.isFile()) fs.copyFileSync(path.join(bundles, file.name), path.join(out, file.name))
  }
  const { version, license } = manifest(root)
  const own = { name: "floodgate-release", version, license, private: true, type: "module" }
  fs.writeFileSync(path.join(out, "package.json"), `${JSON.stringify(own, null, 2)}\n`)
  for (const folder of ["lua", path.join("ops", "config"), ...migrationsOf(root)]) {
    fs.cpSync(path.join(root, folder), path.join(out, folder), { recursive: true })
  }
  // A release runs in stage or prod; dev's public secrets have no business there.
  fs.rmSync(path.join(out, "ops", "config", "dev.env"))
  fs.copyFileSync(path.join(root, "LICENSE"), path.join(out, "LICENSE"))
  copyPackages(externals, root, out)
  // Where WEB_DIR of ops/config says.
  buildPages(root, path.join(out, "web"))
}
