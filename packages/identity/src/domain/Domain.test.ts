import { assert, describe, it } from "@effect/vitest"
import { isCommon } from "../CommonPasswords.ts"
import { type AccountAction, type AccountState, after, maySignIn } from "./AccountState.ts"
import { OVERLAP, outlived, published, signer, waiting } from "./KeyRing.ts"
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
    const issue = (password: string) => passwordIssue(password, "somebody", () => false)
    for (const good of ["12345678", "密".repeat(8), "😀".repeat(8), "x".repeat(128)]) {
      assert.isUndefined(issue(good))
    }
    for (const bad of ["", "1234567", "😀".repeat(7), "x".repeat(129)]) assert.isDefined(issue(bad))
  })

  it("a password is neither one that many have nor the name itself", () => {
    for (const bad of ["password", "PassWord123", "1q2w3e4r", "qwertyuiop", "Some_Body"]) {
      assert.isDefined(passwordIssue(bad, "some_body", isCommon), bad)
    }
    for (const good of ["correct horse", "floodgate-alice", "some_body1", "抢购要快一点点吧"]) {
      assert.isUndefined(passwordIssue(good, "some_body", isCommon), good)
    }
  })
})

describe("AccountState", () => {
  const table: Record<AccountState, Record<AccountAction, AccountState | undefined>> = {
    active: { ban: "banned", unban: undefined, erase: "erased" },
    banned: { ban: "banned", unban: "active", erase: undefined },
    erased: { ban: undefined, unban: undefined, erase: undefined },
  }
  for (const [state, row] of Object.entries(table)) {
    it(`${state}: ${JSON.stringify(row)}`, () => {
      for (const [action, next] of Object.entries(row)) {
        assert.strictEqual(after(state as AccountState, action as AccountAction), next)
      }
      assert.strictEqual(maySignIn(state as AccountState), state === "active")
    })
  }
})

describe("KeyRing", () => {
  const keys = [
    { kid: "b", signsFromMs: 1_000 },
    { kid: "a", signsFromMs: 0 },
    { kid: "c", signsFromMs: 5_000 },
  ]
  const kids = (list: ReadonlyArray<{ readonly kid: string }>) => list.map(({ kid }) => kid).join("")

  it("the newest key that may sign does; before the first may, the oldest", () => {
    for (const [nowMs, kid] of [
      [-1, "a"],
      [0, "a"],
      [999, "a"],
      [1_000, "b"],
      [4_999, "b"],
      [5_000, "c"],
      [1e9, "c"],
    ] as const) {
      assert.strictEqual(signer(keys, nowMs)?.kid, kid, String(nowMs))
    }
    assert.isUndefined(signer([], 0))
  })

  it("a key is published from its making until it has been silent for long enough", () => {
    assert.strictEqual(kids(published(keys, 0, 100)), "abc")
    assert.strictEqual(kids(published(keys, 1_099, 100)), "abc")
    assert.strictEqual(kids(published(keys, 1_100, 100)), "bc")
    assert.strictEqual(kids(published(keys, 5_100, 100)), "c")
    assert.strictEqual(kids(published(keys, 1e9, 100)), "c")
    assert.strictEqual(kids(outlived(keys, 5_099, 100)), "a")
  })

  it("only the newest can wait", () => {
    assert.strictEqual(waiting(keys, 4_999)?.kid, "c")
    assert.isUndefined(waiting(keys, 5_000))
  })

  it("a new key is known for a minute before it signs, an old one for as long as its tokens and a minute", () => {
    assert.deepStrictEqual(OVERLAP, { aheadMs: 60_000, keepMs: 16 * 60_000 })
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
