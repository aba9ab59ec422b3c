import { assert, describe, it } from "@effect/vitest"
import * as OrderNum from "@floodgate/contracts/sale/OrderNum"
import * as FastCheck from "effect/FastCheck"
import * as StreamEntry from "./StreamEntry.ts"

const order_num = OrderNum.make("key", 42, { timeMs: 1_700_000_000_000, productId: 7, generation: 3 })

describe("StreamEntry", () => {
  it("reads what the script writes", () => {
    assert.deepStrictEqual(StreamEntry.decode("1700000000001-5", `${order_num} 42 2 req_-1 4999 3`), {
      id: "1700000000001-5",
      order_num,
      reserved_at_ms: 1_700_000_000_001,
      event: {
        event_id: order_num,
        type: "seckill.reserved",
        version: 1,
        order_num,
        user_id: 42,
        product_id: 7,
        generation: 3,
        quantity: 2,
        price: 4_999,
        per_user_limit: 3,
        request_id: "req_-1",
        reserved_at_ms: 1_700_000_000_001,
      },
    })
    assert.strictEqual(
      StreamEntry.decode("1-0", `${order_num} 42 2 r 4999 3 00-a-b-01`)?.event.traceparent,
      "00-a-b-01",
    )
  })

  it("takes any other text for no entry, and never throws", () => {
    for (const text of [
      "",
      order_num,
      `${order_num} 42 2 r 4999`,
      `${order_num} -1 2 r 4999 3`,
      `${order_num} 9007199254740993 2 r 4999 3`,
      `x${order_num.slice(1)}! 42 2 r 4999 3`,
    ]) {
      assert.isUndefined(StreamEntry.decode("1-0", text), text)
    }
    FastCheck.assert(
      FastCheck.property(FastCheck.string(), FastCheck.string(), (id, text) => {
        StreamEntry.decode(id, text)
      }),
    )
  })
})
