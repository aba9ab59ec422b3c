import { assert, describe, it } from "@effect/vitest"
import * as Language from "./Language.ts"

describe("Language", () => {
  const cases: ReadonlyArray<readonly [header: string | undefined, language: Language.Language]> = [
    [undefined, "en"],
    ["", "en"],
    ["zh", "zh"],
    ["zh-Hans-CN", "zh"],
    ["ZH-tw", "zh"],
    ["en-US,zh;q=0.9", "en"],
    ["zh;q=0.8,en;q=0.9", "en"],
    ["fr,zh;q=0.3", "zh"],
    ["fr", "en"],
    ["*", "en"],
    ["zh;q=0", "en"],
    ["zh;q=2", "zh"],
    ["zhx", "en"],
    [`${"xx,".repeat(5_000)}zh`, "en"],
  ]
  for (const [header, language] of cases) {
    it(`${header?.slice(0, 30)} is ${language}`, () => assert.strictEqual(Language.of(header), language))
  }
})
