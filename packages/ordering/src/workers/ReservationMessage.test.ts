import { assert, describe, it } from "@effect/vitest"
import { BarrierEvent } from "@floodgate/contracts/events/BarrierEvent"
import { ReservationEvent } from "@floodgate/contracts/events/ReservationEvent"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import * as Schema from "effect/Schema"
import { KEY, reservation } from "../testing/Fixture.ts"
import { implausible, read } from "./ReservationMessage.ts"

const bytes = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value) ?? "undefined")

const bySchema = Schema.decodeUnknownEither(Schema.Union(ReservationEvent, BarrierEvent))

/** A value that JSON can hold, of the field's type or not. */
const anything = FastCheck.oneof(
  FastCheck.constantFrom(
    "seckill.reserved",
    "seckill.barrier",
    "x",
    "",
    1,
    2,
    0,
    -1,
    1.5,
    2 ** 53,
    null,
    true,
    [],
    {},
  ),
  FastCheck.integer(),
  FastCheck.string(),
)

const whole = FastCheck.record({
  event_id: FastCheck.string(),
  type: FastCheck.constantFrom("seckill.reserved", "seckill.barrier"),
  version: FastCheck.constant(1),
  order_num: FastCheck.string(),
  user_id: FastCheck.integer(),
  product_id: FastCheck.integer(),
  generation: FastCheck.integer(),
  quantity: FastCheck.integer(),
  price: FastCheck.integer(),
  per_user_limit: FastCheck.integer(),
  request_id: FastCheck.string(),
  reserved_at_ms: FastCheck.integer(),
  traceparent: FastCheck.string(),
  epoch: FastCheck.integer(),
  occurred_at: FastCheck.string(),
})

/** A whole message with some fields gone and some changed. */
const message = FastCheck.tuple(
  whole,
  FastCheck.array(FastCheck.constantFrom(...Object.keys(ReservationEvent.fields), "occurred_at", "epoch"), {
    maxLength: 2,
  }),
  FastCheck.dictionary(
    FastCheck.constantFrom(...Object.keys(ReservationEvent.fields), "occurred_at", "epoch", "more"),
    anything,
    { maxKeys: 2 },
  ),
).map(([base, gone, changed]) => {
  const made: Record<string, unknown> = { ...base, ...changed }
  for (const field of gone) delete made[field]
  return made
})

describe("reading the reservations topic", () => {
  it("takes exactly what the schemas take, with the same result", () => {
    let taken = 0
    FastCheck.assert(
      FastCheck.property(message, (made) => {
        const ours = read(bytes(made))
        const theirs = bySchema(JSON.parse(JSON.stringify(made)))
        assert.strictEqual(ours._tag !== "unreadable", Either.isRight(theirs))
        if (Either.isLeft(theirs)) return
        taken += 1
        if (ours._tag === "reservation") assert.deepStrictEqual(ours.event, theirs.right as ReservationEvent)
        else assert.deepStrictEqual(ours, { _tag: "barrier", epoch: (theirs.right as BarrierEvent).epoch })
      }),
      { numRuns: 5_000 },
    )
    assert.isAbove(taken, 500)
  })

  it("calls anything else unreadable", () => {
    for (const text of [
      "",
      "null",
      "1",
      "[]",
      '"x"',
      "{",
      '{"type":"seckill.other","version":1}',
      "\u0000",
    ]) {
      assert.strictEqual(read(Buffer.from(text))._tag, "unreadable")
    }
    const next = { ...reservation(1, 1), version: 2 }
    assert.deepStrictEqual(read(bytes(next)), { _tag: "unreadable", reason: "unknown version" })
  })
})

describe("a plausible reservation", () => {
  it("is what inventory made", () => {
    assert.isUndefined(implausible(KEY, reservation(42, 7, { quantity: 3, generation: 5 })))
  })

  it("has a number that was issued to its buyer, for its product and generation", () => {
    const made = reservation(42, 7)
    assert.isString(implausible("another key, of thirty-two characters", made))
    assert.isString(implausible(KEY, { ...made, user_id: 8 }))
    assert.isString(implausible(KEY, { ...made, product_id: 43 }))
    assert.isString(implausible(KEY, { ...made, generation: 2 }))
    assert.isString(implausible(KEY, { ...made, order_num: made.order_num.slice(1) }))
  })

  it("fits the columns of an order", () => {
    const made = reservation(42, 7)
    assert.isString(implausible(KEY, { ...made, quantity: 0 }))
    assert.isString(implausible(KEY, { ...made, quantity: 2, price: Number.MAX_SAFE_INTEGER }))
    assert.isString(implausible(KEY, { ...made, price: -1 }))
    assert.isString(implausible(KEY, { ...made, request_id: "x".repeat(65) }))
    assert.isString(implausible(KEY, { ...made, request_id: "é" }))
    assert.isString(implausible(KEY, { ...made, reserved_at_ms: -1 }))
  })
})
