import { assert, describe, it } from "@effect/vitest"
import * as PageToken from "./PageToken.ts"
import { passwordIssue } from "./PasswordPolicy.ts"
import { GRACE_MS, rotationOf } from "./RefreshRotation.ts"
import { usernameIssue } from "./Username.ts"
import { afterCredit, decideDebit, isSameDebit, MAX_AMOUNT } from "./Wallet.ts"

describe("names and passwords", () => {
  it("a name has 3 to 32 letters, digits or _", () => {
    for (const good of ["abc", "A_9", "x".repeat(32)]) assert.isUndefined(usernameIssue(good))
    for (const bad of ["", "ab", "x".repeat(33), "a b", "a-b", "名字名", "abc\n", "abç"]) {
      assert.isDefined(usernameIssue(bad))
    }
  })

  it("a password has 8 to 128 characters, whatever their bytes", () => {
    for (const good of ["12345678", "密".repeat(8), "😀".repeat(8), "x".repeat(128)]) {
      assert.isUndefined(passwordIssue(good))
    }
    for (const bad of ["", "1234567", "😀".repeat(7), "x".repeat(129)]) assert.isDefined(passwordIssue(bad))
  })
})

describe("rotationOf", () => {
  const fresh = { revoked: false, expired: false, usedAgoMs: undefined, successorUsed: false }
  const table = [
    [{}, "rotate"],
    [{ expired: true }, "refuse"],
    [{ revoked: true }, "refuse"],
    [{ usedAgoMs: 0 }, "repeat"],
    [{ usedAgoMs: GRACE_MS }, "repeat"],
    [{ usedAgoMs: GRACE_MS + 1 }, "revoke_family"],
    [{ usedAgoMs: 0, successorUsed: true }, "revoke_family"],
    [{ usedAgoMs: 0, revoked: true }, "refuse"],
    [{ usedAgoMs: GRACE_MS + 1, expired: true }, "refuse"],
  ] as const
  for (const [change, outcome] of table) {
    it(`${JSON.stringify(change)} leads to ${outcome}`, () => {
      assert.strictEqual(rotationOf({ ...fresh, ...change }), outcome)
    })
  }
})

describe("wallet", () => {
  it("a debit takes all of the amount or nothing", () => {
    assert.deepStrictEqual(decideDebit(5, 5), { outcome: "debited", balanceAfter: 0 })
    assert.deepStrictEqual(decideDebit(4, 5), { outcome: "declined", balanceAfter: 4 })
  })

  it("a balance never leaves the exact integers", () => {
    assert.strictEqual(afterCredit(MAX_AMOUNT - 1, 1), MAX_AMOUNT)
    assert.isUndefined(afterCredit(MAX_AMOUNT, 1))
  })

  it("a repeated debit is the same by user, amount and order; a void meets any of its user", () => {
    const decision = {
      paymentId: "p",
      userId: 1,
      outcome: "debited",
      amount: 5,
      orderNum: "o",
      balanceAfter: 0,
      decidedAtMs: 0,
    } as const
    const asked = { userId: 1, amount: 5, orderNum: "o" }
    assert.isTrue(isSameDebit(decision, asked))
    for (const change of [{ userId: 2 }, { amount: 6 }, { orderNum: "" }]) {
      assert.isFalse(isSameDebit(decision, { ...asked, ...change }))
    }
    const voided = { ...decision, outcome: "void", amount: undefined, orderNum: undefined } as const
    assert.isTrue(isSameDebit(voided, { ...asked, amount: 9 }))
    assert.isFalse(isSameDebit(voided, { ...asked, userId: 2 }))
  })
})

describe("page tokens", () => {
  it("come back as they went, and nothing else is one", () => {
    for (const id of [1, 42, Number.MAX_SAFE_INTEGER])
      assert.strictEqual(PageToken.decode(PageToken.encode(id)), id)
    for (const bad of ["", "42", PageToken.encode(0), `${PageToken.encode(1)}=`, "dzEuMWE"]) {
      assert.isUndefined(PageToken.decode(bad))
    }
  })
})
