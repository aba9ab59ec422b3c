#!/usr/bin/env node
// `pnpm bench`: bundles the benchmarks, so that they are measured as production code runs, and runs them.
import { mkdirSync } from "node:fs"
import { dirname, join, resolve } from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import { build } from "esbuild"

const root = resolve(dirname(fileURLToPath(import.meta.url)), "../../..")
const outfile = join(root, ".build", "bench", "bench.mjs")

mkdirSync(dirname(outfile), { recursive: true })
await build({
  absWorkingDir: root,
  entryPoints: ["packages/bench/src/main.ts"],
  outfile,
  bundle: true,
  format: "esm",
  platform: "node",
  target: "node20",
  conditions: ["@floodgate/source"],
  external: ["esbuild"],
  sourcemap: "linked",
  sourcesContent: false,
  logLevel: "error",
  banner: {
    js: 'import { createRequire as __createRequire } from "node:module"; const require = __createRequire(import.meta.url);',
  },
})
await import(pathToFileURL(outfile).href)
