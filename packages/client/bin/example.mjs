#!/usr/bin/env node
// Runs one of the client's examples against an edge:
//   node packages/client/bin/example.mjs buy http://127.0.0.1:8080 alice floodgate-alice 4
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import { build } from "esbuild"

const examples = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../src/examples")
const [name, baseUrl, username, password, productId] = process.argv.slice(2)
if (productId === undefined || !fs.existsSync(path.join(examples, `${name}.ts`))) {
  console.error("Usage: example.mjs buy|watch URL USERNAME PASSWORD PRODUCT_ID")
  process.exit(1)
}

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "floodgate-example-"))
try {
  const outfile = path.join(folder, "example.mjs")
  await build({
    entryPoints: [path.join(examples, `${name}.ts`)],
    outfile,
    bundle: true,
    format: "esm",
    platform: "node",
    target: "node20",
    conditions: ["@floodgate/source"],
    logLevel: "silent",
  })
  const example = (await import(pathToFileURL(outfile).href))[name]
  console.log(await example(baseUrl, username, password, Number(productId)))
} finally {
  fs.rmSync(folder, { recursive: true, force: true })
}
