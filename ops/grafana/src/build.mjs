#!/usr/bin/env node
// Writes the dashboards as JSON into a folder: ops/grafana/dashboards unless said.
import * as fs from "node:fs"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { built, dashboards } from "./dashboards.mjs"

const folder = path.resolve(process.argv[2] ?? fileURLToPath(new URL("../dashboards", import.meta.url)))

fs.mkdirSync(folder, { recursive: true })
for (const dashboard of dashboards) {
  fs.writeFileSync(
    path.join(folder, `${dashboard.uid}.json`),
    `${JSON.stringify(built(dashboard), null, 2)}\n`,
  )
}
