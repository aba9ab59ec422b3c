/** Row 31: the bus is Redis Streams, and forgets everything. */
import { setTimeout as sleep } from "node:timers/promises"
import { Redis } from "ioredis"
import { poll } from "../../support/Poll.ts"
import { holds } from "../Holds.ts"
import { patient } from "../Patience.ts"
import type { Row, Trial } from "../Trial.ts"

/** Reservations without an outcome are produced again after 30 s. */
const AGAIN_MS = 45_000

/** Under load, so that something is on its way: reservations, orders' and payments' events. */
const emptied = async (trial: Trial): Promise<void> => {
  const { world, dice } = trial
  const sale = await trial.rush({
    habits: { perSecond: 40, percent: { wallet: 30, provider: 10, cancel: 25 } },
  })
  const bus = new Redis((await world.stack.status())["bus"]!.url!)
  try {
    for (let i = 0; i < 3; i++) {
      await trial.sometime(300, 1500)
      // Consumers that sleep leave something on the bus to be lost.
      const asleep = dice.chance(0.6) ? await world.freeze(dice.pick(["ordering", "ordering-2"])) : undefined
      if (asleep !== undefined) await trial.sometime(200, 600)
      const held = await bus.dbsize()
      await bus.flushall()
      trial.note(`${held} keys forgotten${asleep === undefined ? "" : " with a consumer asleep"}`)
      if (asleep !== undefined) {
        await sleep(200)
        world.thaw(asleep)
      }
    }
  } finally {
    bus.disconnect()
  }
  trial.healed()
  await trial.sometime(500, 1500)
  await sale.crowd.stop()
  const numbers = sale.crowd.promised
  await poll(
    "every promise has its order",
    async () => {
      const rows = new Set((await world.ledger.orders(sale.productId)).map(({ order_num }) => order_num))
      return numbers.every((number) => rows.has(number))
    },
    patient(AGAIN_MS),
  )
  holds(numbers.length > 20, `only ${numbers.length} promises`)
}

/** The server itself is killed and comes back with nothing. */
const replaced = async (trial: Trial): Promise<void> => {
  const { world } = trial
  const sale = await trial.rush({
    habits: { perSecond: 30, percent: { wallet: 30, provider: 10, cancel: 25 } },
  })
  await trial.sometime(500, 2000)
  const bus = new Redis((await world.stack.status())["bus"]!.url!)
  await bus.flushall()
  bus.disconnect()
  await world.stack.kill("bus")
  await trial.sometime(500, 2000)
  await world.stack.restart("bus")
  trial.healed()
  await trial.sometime(500, 1500)
  await sale.crowd.stop()
  const numbers = sale.crowd.promised
  await poll(
    "every promise has its order",
    async () => {
      const rows = new Set((await world.ledger.orders(sale.productId)).map(({ order_num }) => order_num))
      return numbers.every((number) => rows.has(number))
    },
    patient(AGAIN_MS),
  )
}

export const streams: ReadonlyArray<Row> = [
  {
    number: 31,
    face: "emptied",
    world: "streams",
    promise: "the Redis-Streams bus forgets everything, three times: sent again, and absorbed",
    limitMs: 240_000,
    run: emptied,
  },
  {
    number: 31,
    face: "replaced",
    world: "streams",
    promise: "the Redis-Streams bus dies and comes back empty: sent again, and absorbed",
    limitMs: 240_000,
    run: replaced,
  },
]
