import { createHash } from "node:crypto"
import { describe, expect, it } from "vitest"
import { search } from "./proof.ts"
import { leadingZeroBits, sha256 } from "./sha256.ts"

const hex = (words: Uint32Array) => [...words].map((word) => word.toString(16).padStart(8, "0")).join("")

describe("the proof of work", () => {
  it("digests as SHA-256 does, at every length around a block's end", () => {
    for (let length = 0; length <= 130; length++) {
      const message = Buffer.from("Füllung 水 ".repeat(12)).subarray(0, length)
      expect(hex(sha256(message))).toBe(createHash("sha256").update(message).digest("hex"))
    }
  })

  it("finds a text whose digest begins with the zero bits that were asked for, and goes on where it stopped", () => {
    const work = { nonce: "n0nce-", bits: 11 }
    const found = search(work, 0, 200_000)
    expect(found).toBeDefined()
    const digest = createHash("sha256").update(`n0nce-${found}`).digest()
    expect(digest.readUInt16BE(0) >>> 5).toBe(0)
    expect(search(work, Number(found), 1)).toBe(found)
    expect(search(work, 0, Number(found))).toBeUndefined()
  })

  it("counts zero bits across words", () => {
    expect(leadingZeroBits(new Uint32Array([0, 1, 0]))).toBe(63)
    expect(leadingZeroBits(new Uint32Array([0x8000_0000]))).toBe(0)
  })
})
