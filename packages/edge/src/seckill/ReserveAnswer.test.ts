import { assert, describe, it } from "@effect/vitest"
import { catalogue } from "@floodgate/contracts/errors/Catalogue"
import { ReserveCode } from "@floodgate/contracts/sale/ReserveCode"
import * as ReserveAnswer from "./ReserveAnswer.ts"

const outcome = (code: number, rest: Partial<ReserveAnswer.ReserveOutcome> = {}) => ({
  ...ReserveAnswer.notExecuted,
  code,
  ...rest,
})

describe("ReserveAnswer", () => {
  it("has an answer for every code that inventory may give", () => {
    for (const [name, code] of Object.entries(ReserveCode)) {
      assert.isTrue(ReserveAnswer.isKnown(code), name)
      const reply = ReserveAnswer.encode(outcome(code), "en")
      const body = JSON.parse(reply.body)
      assert.deepStrictEqual(Object.keys(body), ["code", "msg", "data"])
      const row = Object.values(catalogue).find((candidate) => candidate.code === body.code)
      assert.strictEqual(reply.status, row?.http ?? 202)
    }
    assert.isFalse(ReserveAnswer.isKnown(99))
    assert.strictEqual(ReserveAnswer.encode(outcome(99), "en").status, 500)
  })

  const cases: ReadonlyArray<readonly [ReserveAnswer.ReserveOutcome, number, number, unknown]> = [
    [outcome(ReserveCode.SOLD_OUT, { detail: 2 }), 409, 510, { left: 2 }],
    [
      outcome(ReserveCode.ALREADY_BOUGHT, { orderNum: "b", detail: 2, liveOrderNums: ["a", "b"] }),
      409,
      511,
      { order_num: "b", order_nums: ["a", "b"], limit: 2 },
    ],
    [outcome(ReserveCode.NOT_STARTED, { detail: 0 }), 409, 512, { start_time: "1970-01-01T00:00:00.000Z" }],
    [outcome(ReserveCode.ENDED, { detail: 1000 }), 409, 513, { end_time: "1970-01-01T00:00:01.000Z" }],
    [outcome(ReserveCode.NOT_ON_SALE), 409, 514, null],
    [outcome(ReserveCode.KEY_REUSED), 422, 521, null],
    [outcome(ReserveCode.NO_SUCH_PRODUCT), 404, 404, null],
    [outcome(ReserveCode.UNKNOWN, { orderNum: "n" }), 503, 530, { order_num: "n" }],
    [outcome(ReserveCode.UNKNOWN), 503, 530, null],
    [outcome(ReserveCode.NOT_EXECUTED), 503, 530, null],
    [outcome(ReserveCode.FENCED), 503, 530, null],
    [outcome(ReserveCode.EXPIRED), 503, 530, null],
    [outcome(ReserveCode.BACKLOG_FULL), 503, 530, null],
  ]
  for (const [given, status, code, data] of cases) {
    it(`${given.code} is ${status}/${code} ${JSON.stringify(data)}`, () => {
      const reply = ReserveAnswer.encode(given, "en")
      assert.strictEqual(reply.status, status)
      const body = JSON.parse(reply.body)
      assert.strictEqual(body.code, code)
      assert.deepStrictEqual(body.data, data)
    })
  }

  it("a repeat gets the first answer, and is told so", () => {
    const first = ReserveAnswer.encode(outcome(ReserveCode.RESERVED, { orderNum: "n" }), "zh")
    const again = ReserveAnswer.encode(outcome(ReserveCode.REPEATED, { orderNum: "n" }), "zh")
    assert.strictEqual(again.body, first.body)
    assert.strictEqual(again.status, 202)
    assert.strictEqual(again.headers["location"], "/orders/n")
    assert.isUndefined(first.headers["idempotent-replayed"])
    assert.strictEqual(again.headers["idempotent-replayed"], "true")
  })
})
