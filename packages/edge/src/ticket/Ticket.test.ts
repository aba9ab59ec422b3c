import { assert, describe, it } from "@effect/vitest"
import * as Ticket from "./Ticket.ts"

const NOW = 1_800_000_000_000
const claims: Ticket.Claims = {
  user: 7,
  product: 42,
  device: "d1",
  proved: ["challenge", "queue"],
  exp: NOW + Ticket.LIFE_MS,
}
const bearer = { user: 7, product: 42, device: "d1" }
const signer = Ticket.make(["new", "old"])

describe("Ticket", () => {
  it("proves what it says to the one it was given to, while it lives", () => {
    const ticket = signer.sign(claims)
    assert.match(ticket, /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{43}$/)
    assert.sameMembers([...signer.verify(ticket, bearer, NOW)], ["challenge", "queue"])
    assert.strictEqual(signer.verify(ticket, bearer, claims.exp).size, 0)
  })

  it("proves nothing for another user, product or device", () => {
    const ticket = signer.sign(claims)
    for (const other of [{ user: 8 }, { product: 43 }, { device: "d2" }, { device: undefined }]) {
      assert.strictEqual(signer.verify(ticket, { ...bearer, ...other }, NOW).size, 0)
    }
    const unbound = signer.sign({ user: 7, product: 42, proved: ["queue"], exp: NOW + 1 })
    assert.isTrue(signer.verify(unbound, bearer, NOW).has("queue"))
    assert.isFalse(signer.verify(unbound, bearer, NOW).has("challenge"))
  })

  it("an older key still verifies, a stranger's doesn't, nor does a changed text", () => {
    assert.strictEqual(signer.verify(Ticket.make(["old"]).sign(claims), bearer, NOW).size, 2)
    assert.strictEqual(signer.verify(Ticket.make(["else"]).sign(claims), bearer, NOW).size, 0)
    const [, mac] = signer.sign(claims).split(".")
    const text = Buffer.from(JSON.stringify({ ...claims, user: 8 })).toString("base64url")
    const forged = [`${text}.${mac}`, "", ".", "x", `${text}.`, "a".repeat(5_000), `${"a".repeat(9)}.${mac}`]
    for (const ticket of [...forged, undefined]) {
      assert.strictEqual(signer.verify(ticket, { ...bearer, user: 8 }, NOW).size, 0)
    }
  })
})
