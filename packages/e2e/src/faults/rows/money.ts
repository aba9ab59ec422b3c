/** Rows 17, 18, 19 and 30: money and cancels meet each other on every step of the way. */
import { setTimeout as sleep } from "node:timers/promises"
import type { Point } from "@floodgate/runtime/lifecycle/CrashPoint"
import { inParallel, poll } from "../../support/Poll.ts"
import type { Wish } from "../Crowd.ts"
import { insist } from "../Crowds.ts"
import type { Dice } from "../Dice.ts"
import { hold } from "../HeldProduct.ts"
import { holds } from "../Holds.ts"
import { patient } from "../Patience.ts"
import type { Row, Sale, Trial } from "../Trial.ts"

const CALL_MS = 8_000

/** Starts a payment at the provider for an unpaid order; where a person would pay, undefined where it can't be paid. */
const payUrl = async (wish: Wish, order_num: string, key: string): Promise<string | undefined> => {
  const answer = await insist(
    () =>
      wish.edge.post(
        `/orders/${order_num}/pay`,
        { channel: "sandbox" },
        { token: wish.buyer.token, key, timeoutMs: CALL_MS },
      ),
    patient(20_000),
  )
  return answer?.code === 0 ? (answer.data.pay_url ?? undefined) : undefined
}

/** What a person does at the provider; the status of its answer. */
const atProvider = async (url: string, action: string): Promise<number> => {
  const response = await fetch(`${url}/${action}`, { method: "POST", signal: AbortSignal.timeout(CALL_MS) })
  await response.arrayBuffer()
  return response.status
}

/** Waits until a promise is an unpaid order; false where it became something else first. */
const unpaid = async (sale: Sale, order_num: string): Promise<boolean> => {
  const state = await poll(
    `${order_num} is decided`,
    async () => {
      const state = await sale.crowd.look(order_num)
      return !["queued", "busy", "lost"].includes(state) && state
    },
    patient(30_000),
  )
  return state === "unpaid"
}

const statesOf = async (trial: Trial): Promise<ReadonlyMap<string, string>> => {
  const orders = await Promise.all(trial.sales.map(({ productId }) => trial.world.ledger.orders(productId)))
  return new Map(orders.flat().map(({ order_num, state }) => [order_num, state]))
}

const RACES = 1_000
const SALES = 3
/** Orders on their way to a payment at once; those that wait for their time are as many as there are. */
const LANES = 16
/** Long enough for one order to get to the provider's page; stretched, as it is fixed before the first begins. */
const TIME_TO_PAY_MS = 15_000
const MOST_TIME_TO_PAY_MS = 60_000
/** Success comes so long before or after the order's time is over, ms. */
const EARLY_MS = 400
const LATE_MS = 1_600
/** Orders that never got to a race (the machine slept, say) before the row gives up. */
const MOST_MISSED = 1_000

/**
 * Each lane takes an order from its reservation to the provider's page before it begins the next: however slow the
 * machine is, no order waits for others while its own time runs. One that comes too late is no race, and another is run
 * in its place.
 */
const race = async (trial: Trial): Promise<void> => {
  const { world, dice } = trial
  const orderings = ["ordering", "ordering-2"]
  const timeMs = Math.min(MOST_TIME_TO_PAY_MS, patient(TIME_TO_PAY_MS))
  try {
    await Promise.all(orderings.map((name) => world.restart(name, { ORDER_PAY_TIMEOUT_MS: String(timeMs) })))
    for (let i = 0; i < SALES; i++)
      await trial.sale({ stock: RACES, perUserLimit: 10, habits: { wishes: 0 } })
    const tally = new Map<string, number>()
    const count = (what: string) => tally.set(what, (tally.get(what) ?? 0) + 1)
    let begun = 0
    let missed = 0
    let races = 0

    /** Where the money is to move, and how long its order has left; undefined where it can't be paid any more. */
    const begin = async (sale: Sale, wish: Wish, order_num: string) => {
      // One that isn't decided for so long is none that could be raced; the books are held to account for it in the end.
      if (!(await unpaid(sale, order_num).catch(() => false))) return undefined
      const url = await payUrl(wish, order_num, `race-${order_num}`)
      if (url === undefined) return undefined
      const [row] = await world.ledger.rows<{ ms: number }>(
        "SELECT CAST(TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(3), expires_at) DIV 1000 AS SIGNED) AS ms FROM ordering.`order` WHERE order_num = ?",
        [order_num],
      )
      const leftMs = Number(row!.ms)
      // Its time was over before the race could begin.
      return leftMs < EARLY_MS ? undefined : { url, leftMs }
    }
    const meet = async (url: string, inMs: number, action: string) => {
      await sleep(inMs)
      races++
      const status = await atProvider(url, action).catch(() => 0)
      count(status === 200 ? "money moved" : status === 409 ? "closed before" : `answered ${status}`)
    }

    const meetings: Array<Promise<void>> = []
    const lane = async (own: Dice) => {
      while (begun < RACES) {
        holds(missed <= MOST_MISSED, `${missed} orders came too late for a race, ${begun} in time`)
        const sale = own.pick(trial.sales)
        const wish: Wish = {
          buyer: own.pick(await world.buyers()),
          key: `race-${own.id()}`,
          quantity: 1,
          edge: own.pick(world.edges),
          afterwards: "leave",
          requests: [],
          deeds: [],
        }
        sale.crowd.wishes.push(wish)
        const promise = await poll(
          "a wish is answered",
          async () => {
            const request = await sale.crowd.reserve(wish)
            return !["busy", "lost"].includes(request.told) && request
          },
          patient(60_000),
        )
        // Whoever has ten of this product waits for one to be cancelled.
        if (promise.told !== "promised") {
          await sleep(100)
          continue
        }
        const started = await begin(sale, wish, promise.order_num!)
        if (started === undefined) {
          missed++
          continue
        }
        begun++
        const inMs = Math.max(0, started.leftMs + own.between(-EARLY_MS, LATE_MS))
        meetings.push(meet(started.url, inMs, own.pick(["succeed", "succeed", "late", "repeat"])))
      }
    }
    await Promise.all(Array.from({ length: LANES }, (_, i) => lane(dice.fork(`lane ${i}`))))
    await Promise.all(meetings)
    trial.healed()
    const outcomes = [...tally].map(([what, n]) => `${n} ${what}`).join(", ")
    trial.note(`${races} races: ${outcomes}; ${missed} orders came too late for one`)
    holds(races >= RACES, `only ${races} races were run`)
    // Those without money are past their time, too: they must all be over before ordering is itself again.
    await poll(
      "nothing is unpaid any more",
      async () => ![...(await statesOf(trial)).values()].includes("unpaid"),
      patient(30_000) + timeMs,
    )
    const states = [...(await statesOf(trial)).values()]
    const paid = states.filter((state) => state === "paid").length
    const cancelled = states.filter((state) => state === "cancelled").length
    trial.note(`${paid} paid, ${cancelled} cancelled`)
    holds(paid > 0 && cancelled > 0, `the race was none: ${paid} paid, ${cancelled} cancelled`)
  } finally {
    await Promise.all(orderings.map((name) => world.restart(name)))
  }
}

const CANCEL_POINTS: ReadonlyArray<Point> = ["cancel.requested", "cancel.closed", "cancel.in_transaction"]

/** The canceller dies at each of its steps, in an order that the seed chooses, while a crowd cancels. */
const cancellerKilled = async (trial: Trial): Promise<void> => {
  const { world, dice } = trial
  const sale = await trial.rush({
    stock: 400,
    habits: { perSecond: 30, percent: { wallet: 10, provider: 5, cancel: 70 } },
  })
  for (const point of dice.shuffle(CANCEL_POINTS)) {
    const before = await world.stack.status()
    const pid = await world.crash
      .give(point, { action: "kill", at: dice.between(1, 3) })
      .struck(patient(40_000))
    trial.note(`${await world.componentOf(pid, before)} died at ${point}`)
    await trial.sometime(100, 800)
    await world.heal()
  }
  trial.healed()
  await sale.crowd.stop()
}

const AT_ONCE = 40

/** Two people, the timers and both sweeps cancel the same orders at the same time. */
const twoAtOnce = async (trial: Trial): Promise<void> => {
  const { world, dice } = trial
  const sale = await trial.sale({
    habits: { perSecond: 60, wishes: AT_ONCE, percent: { wallet: 0, provider: 0, cancel: 0 } },
  })
  sale.crowd.start()
  await poll("everybody has asked", async () => sale.crowd.left === 0, patient(20_000))
  await sale.crowd.stop()
  const answers: Array<string> = []
  const cancel = async (order_num: string, own: Dice) => {
    const { buyer } = sale.crowd.numbers.get(order_num)!
    const payment = own.chance(0.4)
      ? payUrl(sale.crowd.numbers.get(order_num)!, order_num, `p-${order_num}`)
      : undefined
    await Promise.all([
      payment,
      ...world.edges.flatMap((edge) =>
        [1, 2].map(async () => {
          await sleep(own.between(0, 60))
          const answer = await insist(
            () => edge.post(`/orders/${order_num}/cancel`, {}, { token: buyer.token, timeoutMs: CALL_MS }),
            patient(20_000),
          )
          answers.push(`${answer?.status}/${answer?.code}`)
        }),
      ),
      world.ledger.rows(
        "UPDATE ordering.`order` SET expires_at = UTC_TIMESTAMP(3) WHERE order_num = ? AND state = 'unpaid'",
        [order_num],
      ),
    ])
  }
  const promised = sale.crowd.promised
  // Few orders at a time, each by many: the product's row is everybody's, and here it is the orders that count.
  await inParallel(3, promised, async (order_num) => {
    if (await unpaid(sale, order_num)) await cancel(order_num, dice.fork(order_num))
  })
  trial.healed()
  await poll(
    "all are cancelled",
    async () => {
      const states = await statesOf(trial)
      return promised.every((number) => states.get(number) === "cancelled")
    },
    patient(30_000),
  )
  const odd = answers.filter((answer) => answer !== "200/0")
  holds(odd.length === 0, `a cancel of one's own unpaid order was answered ${odd[0]}`)
  trial.note(`${promised.length} orders, ${answers.length} cancels beside the sweeps`)
}

const HIDDEN = "hidden-"

/** A row can't be seen yet where its event arrives: by its provider's word, and by payment's. */
const early = async (trial: Trial): Promise<void> => {
  const { world, dice } = trial
  const sale = await trial.sale({
    habits: { perSecond: 40, wishes: 20, percent: { wallet: 0, provider: 0, cancel: 0 } },
  })
  sale.crowd.start()
  await poll("everybody has asked", async () => sale.crowd.left === 0, patient(20_000))
  await sale.crowd.stop()
  const numbers = dice.shuffle(sale.crowd.promised).slice(0, 10)
  holds(numbers.length === 10, `only ${numbers.length} promises`)
  const [strangers, unseen] = [numbers.slice(0, 5), numbers.slice(5)]
  const urls = new Map<string, string>()
  for (const number of numbers) {
    holds(await unpaid(sale, number), `${number} isn't unpaid`)
    const url = await payUrl(sale.crowd.numbers.get(number)!, number, `early-${number}`)
    holds(url !== undefined, `${number} can't be paid`)
    urls.set(number, url)
  }
  const list = (items: ReadonlyArray<string>) => items.map((item) => `'${item}'`).join(",")

  // The provider is faster than the payment's own row.
  await world.ledger.rows(
    `UPDATE payment.intent SET payment_id = CONCAT('${HIDDEN}', SUBSTRING(payment_id, 1, 30)), next_try_at = NULL
     WHERE order_num IN (${list(strangers)})`,
  )
  const ids = new Map(strangers.map((number) => [number, urls.get(number)!.split("/").at(-1)!]))
  for (const number of strangers) await atProvider(urls.get(number)!, "succeed")
  await poll(
    "the provider's word is kept",
    async () => {
      const [row] = await world.ledger.rows<{ n: number }>(
        `SELECT CAST(COUNT(*) AS SIGNED) AS n FROM payment.provider_event
         WHERE outcome = 'received' AND tries > 0 AND payment_id IN (${list([...ids.values()])})`,
      )
      return row!.n === strangers.length
    },
    patient(20_000),
  )

  // Payment is faster than the order's own row. Nobody may look at the product meanwhile: it would miss an order.
  const held = await hold(world, sale.productId)
  try {
    await world.ledger.rows(
      `UPDATE ordering.\`order\` SET order_num = REVERSE(order_num) WHERE order_num IN (${list(unseen)})`,
    )
    for (const number of unseen) await atProvider(urls.get(number)!, "succeed")
    await poll(
      "payment's word is kept",
      async () => {
        const [row] = await world.ledger.rows<{ n: number }>(
          `SELECT CAST(COUNT(DISTINCT order_num) AS SIGNED) AS n FROM ordering.parked_payment
           WHERE order_num IN (${list(unseen)})`,
        )
        return row!.n === unseen.length
      },
      patient(20_000),
    )
  } finally {
    await world.ledger.rows(
      `UPDATE ordering.\`order\` SET order_num = REVERSE(order_num)
       WHERE REVERSE(order_num) IN (${list(unseen)})`,
    )
    await held.release()
    for (const [number, id] of ids) {
      await world.ledger.rows("UPDATE payment.intent SET payment_id = ? WHERE order_num = ?", [id, number])
    }
  }
  trial.healed()
  await poll(
    "what was kept is applied",
    async () => {
      const states = await statesOf(trial)
      return numbers.every((number) => states.get(number) === "paid")
    },
    patient(30_000),
  )
  trial.note(
    `${strangers.length} callbacks before their payment, ${unseen.length} captures before their order`,
  )
}

/** The wallet has decided, and whoever asked never hears of it. */
const replyLost = async (trial: Trial): Promise<void> => {
  const { world, dice } = trial
  const sale = await trial.rush({
    habits: { perSecond: 30, percent: { wallet: 70, provider: 0, cancel: 10 } },
  })
  for (let i = 0; i < 3; i++) {
    const before = await world.stack.status()
    const pid = await world.crash
      .give("wallet.debited", { action: "kill", at: dice.between(1, 3) })
      .struck(patient(40_000))
    trial.note(`${await world.componentOf(pid, before)} died with a debit committed`)
    await trial.sometime(100, 1000)
    await world.heal()
  }
  trial.healed()
  await sale.crowd.stop()
  const [row] = await world.ledger.rows<{ n: number }>(
    `SELECT CAST(COUNT(*) AS SIGNED) AS n FROM (SELECT order_num FROM identity.wallet_decision
     WHERE outcome = 'debited' AND order_num IN (SELECT order_num FROM ordering.\`order\` WHERE product_id = ?)
     GROUP BY order_num HAVING COUNT(*) > 1) doubled`,
    [sale.productId],
  )
  holds(row!.n === 0, `${row!.n} orders were debited twice`)
}

/** A debit under way when its order is cancelled: before the wallet has heard of it, or after it was committed. */
const cancelBesideDebit = async (trial: Trial): Promise<void> => {
  const { world, dice } = trial
  const sale = await trial.sale({
    habits: { perSecond: 40, wishes: 12, percent: { wallet: 0, provider: 0, cancel: 0 } },
  })
  sale.crowd.start()
  await poll("everybody has asked", async () => sale.crowd.left === 0, patient(20_000))
  await sale.crowd.stop()
  const points = dice.shuffle<Point>(["payment.opened", "wallet.debited", "payment.opened", "wallet.debited"])
  const outcomes: Array<string> = []
  for (const [i, point] of points.entries()) {
    const number = sale.crowd.promised[i]!
    holds(await unpaid(sale, number), `${number} isn't unpaid`)
    const { buyer } = sale.crowd.numbers.get(number)!
    const call = { token: buyer.token, timeoutMs: CALL_MS }
    const order = world.crash.give(point, { action: "hold", at: 1 })
    const paying = dice
      .pick(world.edges)
      .post(`/orders/${number}/pay`, { channel: "balance" }, { ...call, key: `pay-${number}` })
      .catch(() => undefined)
    await order.struck()
    const cancelling = insist(
      () => dice.pick(world.edges).post(`/orders/${number}/cancel`, {}, call),
      patient(20_000),
    )
    await trial.sometime(200, 1500)
    order.release()
    const [, cancelled] = await Promise.all([paying, cancelling])
    const state = await poll(
      `${number} has its outcome`,
      async () => {
        const now = (await statesOf(trial)).get(number)
        return now !== "unpaid" && now
      },
      patient(30_000),
    )
    outcomes.push(`${point}: cancel ${cancelled?.status}/${cancelled?.code}, ${state}`)
    holds(
      !(cancelled?.status === 200 && cancelled.data.state === "cancelled" && state !== "cancelled"),
      `${number} was told to be cancelled and is ${state}`,
    )
    // The gate was shut before the wallet had heard of the debit: it is refused.
    if (point === "payment.opened") holds(state === "cancelled", `${number} is ${state} after its cancel`)
  }
  trial.note(outcomes.join("; "))
  trial.healed()
}

export const money: ReadonlyArray<Row> = [
  {
    number: 17,
    promise:
      "a payment's callback races its order's time 1,000 times: paid or cancelled, never both; late money goes back",
    limitMs: 1_800_000,
    run: race,
  },
  {
    number: 18,
    face: "killed",
    promise: "the canceller killed at each of its steps: each order is released once",
    limitMs: 240_000,
    run: cancellerKilled,
  },
  {
    number: 18,
    face: "two at once",
    promise: "people, timers and sweeps cancel the same orders at once: each is released once",
    limitMs: 120_000,
    run: twoAtOnce,
  },
  {
    number: 19,
    promise: "a provider's or payment's word that comes before its row is kept, and applied later",
    limitMs: 120_000,
    run: early,
  },
  {
    number: 30,
    face: "reply lost",
    promise: "a wallet's debit commits and its reply is lost: one debit an order",
    limitMs: 240_000,
    run: replyLost,
  },
  {
    number: 30,
    face: "delayed",
    promise: "a wallet's debit that comes after the cancel is refused or given back",
    limitMs: 180_000,
    run: cancelBesideDebit,
  },
]
