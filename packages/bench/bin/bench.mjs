#!/usr/bin/env node
// `pnpm bench`: bundles the benchmarks, so that they are measured as production code runs, and runs them.
import { mkdirSync } from "node:fs"
import { dirname, join, resolve } from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import { build } from "esbuild"

const root = resolve(dirname(fileURLToPath(import.meta.url)), "../../..")
const outdir = join(root, ".build", "bench")

mkdirSync(outdir, { recursive: true })
await build({
  absWorkingDir: root,
  // What is measured, what measures, and who asks for it are processes of their own.
  entryPoints: {
    bench: "packages/bench/src/main.ts",
    generator: "packages/bench/src/load/generator.ts",
    reference: "packages/bench/src/reference/server.ts",
    edge: "packages/bench/src/reference/edge.ts",
    profiler: "packages/bench/src/profiler.ts",
  },
  outdir,
  outExtension: { ".js": ".mjs" },
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
process.chdir(root)
await import(pathToFileURL(join(outdir, "bench.mjs")).href)
