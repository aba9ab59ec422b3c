/** Orders paid a second from wallets: from the click on "pay" to the order that says so, the money's books included. */
import { setTimeout as sleep } from "node:timers/promises"
import type { RowDataPacket } from "mysql2/promise"
import { type Result, rounds } from "../Result.ts"
import { FIRST_USER } from "../Tokens.ts"
import { counted, latency, type World } from "../World.ts"

/** What a product of the bench costs, minor units. */
const PRICE = 100
const PATIENCE_MS = 120_000
const ROWS_A_STATEMENT = 1_000
/** Payments under way at once: beyond what payment's pool takes, people would be told that it is busy. */
const PAYING = 16

/** Buyers of the bench have no accounts: their wallets are filled where identity keeps them, with the entry that says so. */
const fund = async (world: World, buyers: number, amount: number): Promise<void> => {
  const { from } = world.size.known
  for (let at = 0; at < buyers; at += ROWS_A_STATEMENT) {
    const users = Array.from(
      { length: Math.min(ROWS_A_STATEMENT, buyers - at) },
      (_, i) => FIRST_USER + from + at + i,
    )
    await world.mysql.query("INSERT IGNORE INTO identity.wallet (user_id, balance, currency) VALUES ?", [
      users.map((user) => [user, amount, "CNY"]),
    ])
    await world.mysql.query(
      "INSERT IGNORE INTO identity.wallet_entry (user_id, kind, amount, balance_after, credit_id) VALUES ?",
      [users.map((user) => [user, "topup", amount, amount, `bench-${user}`])],
    )
  }
}

const paidOf = async (world: World, product: number): Promise<number> => {
  const [rows] = await world.mysql.query<Array<RowDataPacket>>(
    "SELECT COUNT(*) AS paid FROM ordering.`order` WHERE product_id = ? AND state = 'paid'",
    [product],
  )
  return Number(rows[0]!["paid"])
}

export const payments = async (world: World): Promise<ReadonlyArray<Result>> => {
  const { connections, known, quick } = world.size
  const count = quick ? 1_000 : 3_000
  const times = quick ? 1 : 3
  await fund(world, count, PRICE * times)
  const perSecond: Array<number> = []
  let said = ""
  for (let round = 0; round < times; round++) {
    const [product] = (await world.sell(1)) as [number]
    const bought = await world.load.run({
      port: world.port,
      connections,
      requests: {
        kind: "buy",
        products: [product],
        buyers: { from: known.from, to: known.from + count },
        keyed: true,
      },
      warmUp: 0,
      most: count,
      forMs: PATIENCE_MS,
      rate: undefined,
    })
    const { busy, expected } = counted(bought, "202")
    await world.settled([product], expected, busy)
    const [orders] = await world.mysql.query<Array<RowDataPacket>>(
      "SELECT user_id, order_num FROM ordering.`order` WHERE product_id = ? ORDER BY id",
      [product],
    )
    const began = performance.now()
    const paid = await world.load.run({
      port: world.port,
      connections: PAYING,
      requests: {
        kind: "pay",
        orders: orders.map((row) => [Number(row["user_id"]) - FIRST_USER, String(row["order_num"])]),
      },
      warmUp: 0,
      most: orders.length,
      forMs: PATIENCE_MS,
      rate: undefined,
    })
    const { expected: answered } = counted(paid, "200")
    while ((await paidOf(world, product)) < answered) {
      if (performance.now() - began > PATIENCE_MS) {
        throw new Error(`${await paidOf(world, product)} orders paid of ${answered}`)
      }
      await sleep(20)
    }
    perSecond.push((answered * 1_000) / (performance.now() - began))
    said = latency(paid)
    world.progress(`payments: ${perSecond.at(-1)!.toFixed(0)} /s`)
  }
  return [
    {
      name: "payments",
      unit: "/s",
      ours: rounds(perSecond),
      reference: undefined,
      against: "orders paid from wallets, from the first click to the last order that is paid",
      reach: undefined,
      notes: [`${count} orders a round, closed loop of ${PAYING} connections; the answer itself: ${said}`],
    },
  ]
}
