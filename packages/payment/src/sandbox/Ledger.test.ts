import { assert, describe, it } from "@effect/vitest"
import { apply, type Entry, type ProviderPayment } from "./Ledger.ts"

const asked: Entry = {
  _tag: "Created",
  payment_id: "p",
  order_num: "o",
  amount: 100,
  currency: "CNY",
  callback_url: "http://127.0.0.1/cb",
}
const closed: Entry = { _tag: "Closed", payment_id: "p" }
const paid = (late = false): Entry => ({ _tag: "Succeeded", payment_id: "p", provider_txn_id: "t", late })
const refund = (refund_id: string, amount: number): Entry => ({
  _tag: "Refunded",
  payment_id: "p",
  refund_id,
  amount,
})

const after = (...entries: ReadonlyArray<Entry>) =>
  entries.reduce<ProviderPayment | undefined>((payment, entry) => apply(payment, entry), undefined)

describe("the sandbox provider's books", () => {
  it("a payment closed before it was asked for stays closed", () => {
    assert.strictEqual(after(closed, asked)?.status, "closed")
    assert.strictEqual(after(closed, asked, paid(true))?.status, "closed")
  })

  it("a closed payment takes no money, but for a late one", () => {
    assert.strictEqual(after(asked, closed, paid())?.status, "closed")
    assert.strictEqual(after(asked, closed, paid(true))?.status, "succeeded")
  })

  it("money once moved stays moved: neither close nor failure undoes it, and a second success keeps its number", () => {
    const twice: Entry = { _tag: "Succeeded", payment_id: "p", provider_txn_id: "t2", late: false }
    assert.strictEqual(after(asked, paid(), closed, { _tag: "Failed", payment_id: "p" })?.status, "succeeded")
    assert.strictEqual(after(asked, paid(), twice)?.provider_txn_id, "t")
  })

  it("gives back each refund once, and never more than was paid", () => {
    assert.deepStrictEqual(after(asked, paid(), refund("r", 60), refund("r", 60))?.refunds, { r: 60 })
    assert.deepStrictEqual(after(asked, paid(), refund("r", 60), refund("s", 60))?.refunds, { r: 60 })
    assert.deepStrictEqual(after(asked, refund("r", 60))?.refunds, {})
  })
})
