import { execFile } from "node:child_process"
import { mkdtemp, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { promisify } from "node:util"
import { describe, expect, it } from "vitest"

const root = resolve(import.meta.dirname, "../../..")

describe("docs/metrics.md", () => {
  it("is what the services define (else: node packages/stack/bin/metrics.mjs)", async () => {
    const folder = await mkdtemp(join(tmpdir(), "floodgate-metrics-"))
    try {
      const fresh = join(folder, "metrics.md")
      await promisify(execFile)(process.execPath, [join(root, "packages/stack/bin/metrics.mjs"), fresh])
      expect(await readFile(join(root, "docs/metrics.md"), "utf8")).toBe(await readFile(fresh, "utf8"))
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  })
})
