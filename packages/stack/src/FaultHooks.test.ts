import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { points } from "@floodgate/runtime/lifecycle/CrashPoint"
import { describe, expect, it } from "vitest"

const root = fileURLToPath(new URL("../../..", import.meta.url))

/** The text of every file of the build that the launcher makes and uses in this environment. */
const buildText = (env: Readonly<Record<string, string>>, stamp: string): string => {
  execFileSync(process.execPath, [path.join(root, "packages/stack/bin/floodgate.mjs"), "help"], {
    env: { ...process.env, ...env },
    stdio: "ignore",
  })
  const { build } = JSON.parse(fs.readFileSync(path.join(root, ".build", stamp), "utf8")) as { build: string }
  const folder = path.join(root, ".build", build)
  return fs
    .readdirSync(folder)
    .filter((name) => name.endsWith(".js"))
    .map((name) => fs.readFileSync(path.join(folder, name), "utf8"))
    .join("\n")
}

describe("the hooks of fault tests", () => {
  it("are in a test build, every one of them", () => {
    const text = buildText({ FLOODGATE_FAULT_HOOKS: "1" }, "stamp-faults.json")
    expect(points.filter((point) => !text.includes(`hit("${point}")`))).toEqual([])
  }, 120_000)

  it("are in no other build, nor is anything that serves them", () => {
    const text = buildText({ FLOODGATE_FAULT_HOOKS: "" }, "stamp.json")
    expect(text).toContain("ReservationStore")
    expect(points.filter((point) => text.includes(`"${point}"`))).toEqual([])
    expect(text).not.toContain("FLOODGATE_FAULTS")
  }, 120_000)
})
