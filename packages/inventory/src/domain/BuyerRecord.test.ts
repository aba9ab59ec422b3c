import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import * as BuyerRecord from "./BuyerRecord.ts"

const reservation = FastCheck.record({
  order_num: FastCheck.stringMatching(/^[0-9A-Za-z]{38}$/),
  quantity: FastCheck.integer({ min: 1, max: 1_000_000 }),
  request_id: FastCheck.stringMatching(/^[A-Za-z0-9_-]{1,64}$/),
  live: FastCheck.boolean(),
})

describe("BuyerRecord", () => {
  it("reads every record that the scripts write, oldest first", () => {
    FastCheck.assert(
      FastCheck.property(FastCheck.array(reservation, { maxLength: 5 }), (reservations) => {
        const record = reservations
          .map((r) => `${r.order_num},${r.quantity},${r.request_id},${r.live ? "l" : "r"};`)
          .join("")
        assert.deepStrictEqual(BuyerRecord.decode(record), reservations)
      }),
    )
  })

  it("is total: any text is some record", () => {
    FastCheck.assert(
      FastCheck.property(FastCheck.string(), (text) => {
        BuyerRecord.decode(text)
      }),
    )
  })
})
