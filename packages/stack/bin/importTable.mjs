// Which package may import which: the table of the architecture, checked so that it can't rot. Also: no relative path
// leaves its package, and only configuration code and the stack read process.env.
import * as fs from "node:fs"
import * as path from "node:path"

const service = ["contracts", "runtime"]

/** Every package has a row; a package without one is an error, so that a new one is placed on purpose. */
export const mayImport = {
  contracts: [],
  runtime: ["contracts"],
  identity: service,
  inventory: service,
  ordering: service,
  payment: service,
  edge: service,
  client: ["contracts"],
  web: ["client"],
  stack: ["contracts", "runtime"],
  e2e: ["client", "contracts", "runtime", "stack"],
  bench: ["client", "contracts", "edge", "runtime", "stack"],
  // Plays the pure cores of the services against each other, so it may see all of them.
  simulation: ["contracts", "runtime", "inventory", "ordering", "payment"],
}

const sources = (folder) =>
  fs.readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const file = path.join(folder, entry.name)
    if (entry.isDirectory()) return entry.name === "gen" || entry.name === "node_modules" ? [] : sources(file)
    return /\.(ts|tsx|mts|mjs)$/.test(entry.name) ? [file] : []
  })

const withoutComments = (text) => text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/^\s*\/\/.*$/gm, "")

const specifiers = (text) =>
  [...text.matchAll(/(?:\bfrom|\bimport|\bimport\()\s*["']([^"'\n]+)["']/g)].map((match) => match[1])

/** What breaks the rules, one line each. */
export const violations = (root) => {
  const found = []
  const packages = path.join(root, "packages")
  for (const name of fs.readdirSync(packages)) {
    const home = path.join(packages, name)
    if (!fs.existsSync(path.join(home, "package.json"))) continue
    const allowed = mayImport[name]
    if (allowed === undefined) {
      found.push(`packages/${name} has no row in the table (packages/stack/bin/importTable.mjs)`)
      continue
    }
    const src = path.join(home, "src")
    if (!fs.existsSync(src)) continue
    for (const file of sources(src)) {
      const shown = path.relative(root, file)
      const text = withoutComments(fs.readFileSync(file, "utf8"))
      for (const specifier of specifiers(text)) {
        const other = /^@floodgate\/([^/]+)/.exec(specifier)?.[1]
        if (other !== undefined && other !== name && !allowed.includes(other)) {
          found.push(
            `${shown} imports ${specifier}: ${name} may import ${allowed.join(", ") || "no other package"}`,
          )
        }
        if (
          specifier.startsWith(".") &&
          path.relative(home, path.resolve(file, "..", specifier)).startsWith("..")
        ) {
          found.push(`${shown} imports ${specifier}: a relative path that leaves its package`)
        }
      }
      const reader =
        name === "stack" || name === "e2e" || name === "bench" || shown.includes("/runtime/src/config/")
      if (!reader && !/\.test\.tsx?$/.test(file) && /\bprocess\.env\b/.test(text)) {
        found.push(`${shown} reads process.env: settings come through runtime/config`)
      }
    }
  }
  return found
}
