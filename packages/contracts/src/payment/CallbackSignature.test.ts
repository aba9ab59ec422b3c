import { createHmac } from "node:crypto"
import { assert, describe, it } from "@effect/vitest"
import * as Signature from "./CallbackSignature.ts"

const body = new TextEncoder().encode('{"event_id":"evt_1"}')
const now = 1_795_000_000_000

describe("callback signatures", () => {
  it("is HMAC-SHA256 of `<t>.<raw body>` in hex, as the HTTP contract says", () => {
    const expected = createHmac("sha256", "s1").update('1795000000.{"event_id":"evt_1"}').digest("hex")
    assert.strictEqual(Signature.sign(["s1"], now, body), `t=1795000000,v1=${expected}`)
  })

  it("any one signature by any active secret will do, so that either side can rotate", () => {
    assert.isTrue(Signature.verify(["new", "old"], now, Signature.sign(["old"], now, body), body))
    assert.isTrue(Signature.verify(["new"], now, Signature.sign(["old", "new"], now, body), body))
  })

  it("refuses another key, another body, no header and nonsense", () => {
    const good = Signature.sign(["s1"], now, body)
    assert.isFalse(Signature.verify(["s2"], now, good, body))
    assert.isFalse(Signature.verify(["s1"], now, good, new TextEncoder().encode('{"event_id":"evt_2"}')))
    for (const header of [
      undefined,
      "",
      "t=1795000000",
      "v1=00",
      `${good.split(",")[1]}`,
      "t=x,v1=y",
      "t=,v1=",
    ])
      assert.isFalse(Signature.verify(["s1"], now, header, body), String(header))
    assert.isFalse(Signature.verify([], now, good, body))
  })

  it("refuses a time more than 300 s off, either way", () => {
    const header = Signature.sign(["s1"], now, body)
    for (const off of [-300, 0, 300])
      assert.isTrue(Signature.verify(["s1"], now + off * 1000, header, body), `${off}`)
    for (const off of [-301, 301])
      assert.isFalse(Signature.verify(["s1"], now + off * 1000, header, body), `${off}`)
  })
})
