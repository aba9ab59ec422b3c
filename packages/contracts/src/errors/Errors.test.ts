import { assert, describe, it } from "@effect/vitest"
import { catalogue, reasons } from "./Catalogue.ts"
import * as Errors from "./Errors.ts"

const samples: ReadonlyArray<Errors.FloodgateError> = [
  Errors.InvalidInput.at("price", "must be positive"),
  new Errors.Unauthenticated(),
  new Errors.Forbidden({ permission: "product:write" }),
  new Errors.NotFound(),
  new Errors.MethodNotAllowed({ allow: ["GET"] }),
  new Errors.RequestTimeout(),
  new Errors.BodyTooLarge({ limit_bytes: 65536 }),
  new Errors.UnsupportedMediaType(),
  new Errors.RateLimited({ retry_after_ms: 1500 }),
  new Errors.Internal(),
  new Errors.UsernameTaken(),
  new Errors.WrongCredentials(),
  new Errors.SoldOut({ left: 0 }),
  new Errors.AlreadyBought({ order_num: "a", order_nums: ["a", "b"], limit: 2 }),
  new Errors.NotStarted({ start_time: "2026-01-01T00:00:00.000Z" }),
  new Errors.Ended({ end_time: "2026-01-01T00:00:00.000Z" }),
  new Errors.NotOnSale(),
  new Errors.WrongState({ state: "paid" }),
  new Errors.IdempotencyMismatch(),
  new Errors.InFlight({ id: 7 }),
  new Errors.PaymentMismatch(),
  new Errors.PaymentDeclined({ payment_id: "pay_1" }),
  new Errors.StaleVersion({ version: 3 }),
  new Errors.Busy({ order_num: "a" }),
  new Errors.Banned(),
  new Errors.FrequencyLimited({ retry_after_ms: 1 }),
  new Errors.AddressBlocked(),
  new Errors.ChallengeRequired({ kind: "pow-sha256", product_id: 1 }),
  new Errors.WaitingRoom({ state: "waiting", position: 3, ahead: 2, retry_after_ms: 500 }),
]

describe("the error catalogue", () => {
  it("every reason has one class and every class one reason", () => {
    assert.deepStrictEqual(samples.map(Errors.reasonOf).sort(), [...reasons].sort())
    assert.strictEqual(new Set(Object.values(Errors.errorClasses)).size, reasons.length)
  })

  it("no two reasons share a code", () => {
    assert.strictEqual(new Set(Object.values(catalogue).map((row) => row.code)).size, reasons.length)
  })

  it("an error crosses a boundary and comes out the same", () => {
    for (const error of samples) {
      const wire = JSON.parse(JSON.stringify(Errors.dataOf(error)))
      const back = Errors.fromWire(Errors.reasonOf(error), wire)
      assert.strictEqual(back?._tag, error._tag)
      assert.deepStrictEqual(Errors.dataOf(back!), Errors.dataOf(error))
    }
  })

  it("an error without fields carries null, and data that does not fit is not an error of ours", () => {
    assert.isNull(Errors.dataOf(new Errors.NotFound()))
    assert.isUndefined(Errors.fromWire("SOLD_OUT", { left: "many" }))
    assert.isUndefined(Errors.fromWire("NO_SUCH_REASON", null))
  })

  it("has words in both languages, a cause and an action for each code", () => {
    for (const row of Object.values(catalogue))
      for (const text of [row.en, row.zh, row.cause, row.action]) assert.isNotEmpty(text)
  })
})
