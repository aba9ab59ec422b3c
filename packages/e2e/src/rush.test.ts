/** The rush: a thousand buyers for a hundred items, and the books afterwards. */
import { randomUUID } from "node:crypto"
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest"
import { atRest, Ledgers, violations } from "./support/Books.ts"
import { Edge } from "./support/Edge.ts"
import { inParallel, poll } from "./support/Poll.ts"
import { Stack } from "./support/Stack.ts"

const BUYERS = 1000
const STOCK = 100

const { data, portBase } = inject("stack")
const stack = new Stack(data, portBase)
const edge = new Edge(stack.url)

describe(`${BUYERS} buyers for ${STOCK} items`, () => {
  let ledgers: Ledgers
  let buyers: ReadonlyArray<{ token: string; id: number }>
  beforeAll(async () => {
    const status = await stack.status()
    ledgers = new Ledgers({ mysql: status["mysql"]!.url!, redis: status["redis"]!.url! })
    buyers = await inParallel(4, Array.from({ length: BUYERS }), () => edge.newcomer())
  }, 600_000)
  afterAll(() => ledgers?.close())

  it("sells each item once, tells the rest that it is sold out, and every order ends paid or cancelled", async () => {
    const product = await edge.publish({ stock: STOCK, price: 100 })
    const answers = await inParallel(200, buyers, ({ token }) =>
      edge.post("/seckill", { product_id: product.id }, { token, key: randomUUID() }),
    )
    const count = (code: number) => answers.filter((a) => a.code === code).length
    expect({ accepted: count(0), soldOut: count(510) }).toEqual({ accepted: STOCK, soldOut: BUYERS - STOCK })
    expect(answers.filter((a) => a.code === 0).every((a) => a.status === 202)).toBe(true)

    const winners = answers.flatMap((answer, i) =>
      answer.code === 0 ? [{ order_num: answer.data.order_num as string, token: buyers[i]!.token }] : [],
    )
    expect(new Set(winners.map((w) => w.order_num)).size).toBe(STOCK)
    await inParallel(20, winners, (w) => edge.settled(w.order_num, w.token, "unpaid"))
    const sold = await poll("nothing is under way", async () => {
      const books = await ledgers.books(product.id)
      return atRest(books) && books
    })
    expect(violations(STOCK, sold)).toEqual([])
    expect(sold).toMatchObject({ mysqlStock: 0, redisStock: 0, orders: { unpaid: STOCK } })

    // Two thirds pay at the provider, one third changes its mind.
    await inParallel(20, winners, async (winner, i) => {
      if (i % 3 === 0) return edge.ask(`/orders/${winner.order_num}/cancel`, {}, { token: winner.token })
      const payment = await edge.ask(
        `/orders/${winner.order_num}/pay`,
        { channel: "sandbox" },
        { token: winner.token, key: randomUUID() },
      )
      return fetch(`${payment.pay_url}/succeed`, { method: "POST" })
    })
    await inParallel(20, winners, (w, i) =>
      edge.settled(w.order_num, w.token, i % 3 === 0 ? "cancelled" : "paid"),
    )
    const cancelled = Math.ceil(STOCK / 3)
    const end = await poll("all stock is back", async () => {
      const books = await ledgers.books(product.id)
      return atRest(books) && books.redisStock === cancelled && books
    })
    expect(violations(STOCK, end)).toEqual([])
    expect(end.orders).toEqual({ paid: STOCK - cancelled, cancelled })
    expect(await ledgers.wrongPayments(product.id)).toEqual([])
    expect(await ledgers.wrongWallets()).toEqual([])
  }, 300_000)

  it("one buyer asking a hundred times at once gets one item", async () => {
    const product = await edge.publish({ stock: 50 })
    const { token } = buyers[0]!
    const answers = await Promise.all(
      Array.from({ length: 100 }, () => edge.post("/seckill", { product_id: product.id }, { token })),
    )
    const accepted = answers.filter((a) => a.status === 202)
    expect(accepted.length).toBe(1)
    for (const answer of answers)
      if (answer.status !== 202) expect(["409/511", "429/429"]).toContain(`${answer.status}/${answer.code}`)
    expect(answers.filter((answer) => answer.status === 409).length).toBeGreaterThan(0)
    await edge.settled(accepted[0]!.data.order_num, token, "unpaid")
  })
})
