#!/usr/bin/env node
// Writes docs/metrics.md: every family of metrics that the services define, as they define it. With a file as its
// argument it writes there instead, so that a check can compare.
import * as fs from "node:fs"
import * as path from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import { build } from "esbuild"

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../../..")
const target = path.resolve(process.argv[2] ?? path.join(root, "docs/metrics.md"))

const SERVICES = ["edge", "identity", "inventory", "ordering", "payment"]

/** The families that a service's code defines: all of it is loaded, and nothing of it run. */
const definitionsOf = async (service) => {
  const resolveDir = path.join(root, "packages", service)
  // Where what isn't bundled can be found.
  const folder = fs.mkdtempSync(path.join(resolveDir, "node_modules", ".metrics-"))
  try {
    const outfile = path.join(folder, "definitions.mjs")
    await build({
      stdin: {
        contents: `
          import "./src/layer.ts"
          ${service === "edge" ? 'import "./src/processes/SharedPort.ts"' : ""}
          import "@floodgate/runtime/lifecycle/Main"
          import { definitions } from "@floodgate/runtime/metrics/Instrument"
          export const all = definitions()`,
        resolveDir,
        loader: "ts",
      },
      outfile,
      bundle: true,
      format: "esm",
      platform: "node",
      target: "node20",
      conditions: ["@floodgate/source"],
      external: ["@opentelemetry/exporter-jaeger", "@node-rs/argon2", "sharp"],
      logLevel: "silent",
      banner: {
        js: 'import { createRequire as __createRequire } from "node:module"; const require = __createRequire(import.meta.url);',
      },
    })
    return (await import(pathToFileURL(outfile).href)).all
  } finally {
    fs.rmSync(folder, { recursive: true, force: true })
  }
}

const unitOf = (name) => {
  const bare = name.replace(/_total$/, "")
  if (bare.endsWith("_timestamp_seconds") || bare.endsWith("_time_seconds")) return "Unix s"
  for (const [suffix, unit] of [
    ["_seconds", "s"],
    ["_bytes", "bytes"],
    ["_ratio", "ratio"],
  ]) {
    if (bare.endsWith(suffix)) return unit
  }
  return "count"
}

const MAX_VALUES = 20

/** The machine's own values (versions) would make another page on each. */
const own = new Set(["floodgate_build_info"])

const labelOf = (name, [label, values]) => {
  if (values === undefined || own.has(name)) return `\`${label}\``
  if (values.length > MAX_VALUES) return `\`${label}\` (${values.length} values)`
  return `\`${label}\`: ${values.join(", ")}`
}

const families = new Map()
for (const service of SERVICES) {
  for (const definition of await definitionsOf(service)) {
    const known = families.get(definition.name)
    if (known === undefined) families.set(definition.name, { ...definition, processes: [service] })
    else known.processes.push(service)
  }
}

const sections = new Map()
for (const family of [...families.values()].sort((one, other) => (one.name < other.name ? -1 : 1))) {
  const where = family.processes.length === SERVICES.length ? "Every process" : family.processes.join(", ")
  sections.set(where, [...(sections.get(where) ?? []), family])
}

const order = [...sections.keys()].sort((one, other) => {
  const weight = (where) => (where === "Every process" ? 0 : where.includes(",") ? 1 : 2)
  return weight(one) - weight(other) || (one < other ? -1 : 1)
})

const tableOf = (rows) =>
  [
    "| name | type | unit | labels | meaning |",
    "|---|---|---|---|---|",
    ...rows.map(
      ({ help, labels, name, type }) =>
        `| \`${name}\` | ${type} | ${unitOf(name)} | ${Object.entries(labels)
          .map((label) => labelOf(name, label))
          .join("; ")} | ${help.replaceAll("|", "\\|")} |`,
    ),
  ].join("\n")

const page = `<!-- Generated from the definitions by packages/stack/bin/metrics.mjs; don't edit. -->

# Metrics

Each process shows its series at \`/metrics\` of its ops port, in Prometheus' text format. Times are in seconds, counters
end in \`_total\`. Every family is there, at zero, from the start: a rate over it is right from the first scrape, and a
query for something that hasn't happened yet answers zero. A label written without values takes those of the process: its
routes, gRPC methods, consumer groups, or the names that its code gives to statements and commands; what isn't among them
is counted as \`other\`. Labels never carry what comes from outside (users, products, addresses).

Histograms have \`_bucket\`, \`_sum\` and \`_count\` series, so a quantile is, for example,
\`histogram_quantile(0.99, sum by (le) (rate(floodgate_http_request_seconds_bucket{route="/seckill"}[1m])))\`.

The sale's funnel is counted across processes: \`sum by (step) (floodgate_sale_total)\`. An accepted wish becomes
\`persisted\` or \`rejected\`, and a persisted one \`paid\` or \`cancelled\` (or waits for its money).

${order.map((where) => `## ${where}\n\n${tableOf(sections.get(where))}`).join("\n\n")}
`

fs.writeFileSync(target, page)
