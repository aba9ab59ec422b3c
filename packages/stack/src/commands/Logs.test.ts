import { describe, expect, it } from "vitest"
import { parseDuration, timeOf } from "./Logs.ts"

describe("stack logs", () => {
  it.each([
    ['{"time":"2026-11-23T02:24:21.518Z","level":"warn","msg":"x"}', "2026-11-23T02:24:21.518Z"],
    ["2026-11-23T02:08:41.534Z [main] INFO kafka.server - up", "2026-11-23T02:08:41.534Z"],
    ["2026-11-23  2:08:41 0 [Note] mariadbd: ready", "2026-11-23T02:08:41"],
    ["2026-11-23 12:08:41 0 [Note] mariadbd: ready", "2026-11-23T12:08:41"],
    ["2371:M 23 Nov 2026 02:10:38.960 * DB loaded", "2026-11-23T02:10:38.960"],
  ])("knows when a line was written: %s", (text, expected) => {
    expect(timeOf(text)).toBe(Date.parse(expected))
  })

  it("the rest of a stack trace has no time of its own", () => {
    expect(timeOf("    at foo (bar.ts:1:2)")).toBeUndefined()
  })

  it("takes 90s, 5m, 2h and 1d, and nothing else", () => {
    expect(["90s", "5m", "2h", "1d"].map(parseDuration)).toEqual([90_000, 300_000, 7_200_000, 86_400_000])
    expect(["", "5", "m", "-5m", "5 m", "1e3s"].map(parseDuration)).toEqual(Array(6).fill(undefined))
  })
})
