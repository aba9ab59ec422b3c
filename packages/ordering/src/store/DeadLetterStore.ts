/** Messages that failed by themselves, kept where an operator finds them. */
import { Mysql } from "@floodgate/runtime/mysql/Mysql"
import type { MysqlError } from "@floodgate/runtime/mysql/MysqlError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

export interface DeadLetter {
  readonly topic: string
  readonly partition: number
  readonly offset: string
  readonly key: string
  readonly payload: Uint8Array
  /** Why it can't be applied. */
  readonly reason: string
  /** Where the message could be read so far. Copies with the same number are one letter. */
  readonly orderNum: string | undefined
}

export class DeadLetterStore extends Context.Tag("@floodgate/ordering/store/DeadLetterStore")<
  DeadLetterStore,
  {
    /**
     * Durable when it succeeds, so the caller may let go of the message. A copy of a known letter counts as one more
     * attempt. Fails with MysqlUnavailable or MysqlConflict.
     */
    readonly put: (letter: DeadLetter) => Effect.Effect<void, MysqlError>
  }
>() {}

const MAX_REASON = 500
const MAX_KEY = 255
const ORDER_NUM = /^[0-9A-Za-z]{1,40}$/

const make = Effect.gen(function* () {
  const mysql = yield* Mysql
  const { sql } = mysql
  return DeadLetterStore.of({
    put: (letter) => {
      const orderNum =
        letter.orderNum !== undefined && ORDER_NUM.test(letter.orderNum) ? letter.orderNum : null
      const dedupKey =
        orderNum === null
          ? `${letter.topic}:${letter.partition}:${letter.offset}`
          : `${letter.topic}:${orderNum}`
      return mysql.run(
        "dead_letter.put",
        Effect.asVoid(sql`
          INSERT INTO dead_letter (topic, partition_no, msg_offset, msg_key, dedup_key, order_num, reason, attempts,
            payload, state, first_at, last_at)
          VALUES (${letter.topic}, ${letter.partition}, ${letter.offset}, ${letter.key.slice(0, MAX_KEY)}, ${dedupKey},
            ${orderNum}, ${letter.reason.slice(0, MAX_REASON)}, 1, ${Buffer.from(letter.payload)}, 'open',
            UTC_TIMESTAMP(3), UTC_TIMESTAMP(3))
          ON DUPLICATE KEY UPDATE attempts = attempts + 1, last_at = UTC_TIMESTAMP(3)`),
      )
    },
  })
})

export const layer: Layer.Layer<DeadLetterStore, never, Mysql> = Layer.effect(DeadLetterStore, make)
