/** The sale, step by step, as the HTTP contract tells it. */
import { randomUUID } from "node:crypto"
import { describe, expect, inject, it } from "vitest"
import { patient } from "./faults/Patience.ts"
import { Edge } from "./support/Edge.ts"
import { poll } from "./support/Poll.ts"
import { Stack } from "./support/Stack.ts"

const { data, portBase } = inject("stack")
const stack = new Stack(data, portBase)
const edge = new Edge(stack.url)

const buy = async (token: string, product_id: number, more: object = {}, key?: string) =>
  edge.post("/seckill", { product_id, ...more }, { token, ...(key === undefined ? {} : { key }) })

describe("the sale, end to end", () => {
  it("register, sign in, publish, buy, pay by wallet: the order is paid and the books say so", async () => {
    const alice = await edge.demo("alice")
    const before = (await edge.get("/wallet", { token: alice.token })).data.balance
    const product = await edge.publish({ price: 1234, stock: 5 })
    expect(product).toMatchObject({
      status: "upcoming",
      stock: 5,
      initial_stock: 5,
      per_user_limit: 1,
      currency: "CNY",
    })

    const accepted = await buy(alice.token, product.id)
    expect(accepted.status).toBe(202)
    expect(accepted.data).toMatchObject({
      status: "queued",
      order_num: expect.any(String),
      poll_after_ms: expect.any(Number),
    })
    expect(accepted.headers.get("location")).toBe(`/orders/${accepted.data.order_num}`)

    const order = await edge.settled(accepted.data.order_num, alice.token, "unpaid")
    expect(order).toMatchObject({
      user_id: alice.id,
      product_id: product.id,
      amount: 1234,
      status: 0,
      quantity: 1,
    })

    const payment = await edge.post(
      `/orders/${order.order_num}/pay`,
      { channel: "balance" },
      { token: alice.token, key: randomUUID() },
    )
    expect(payment.data).toMatchObject({ order_num: order.order_num, amount: 1234, status: "succeeded" })
    const paid = await edge.settled(order.order_num, alice.token, "paid")
    expect(paid).toMatchObject({
      status: 1,
      paid_at: expect.any(String),
      payment: { channel: "balance", status: "succeeded" },
    })

    const wallet = (await edge.get("/wallet", { token: alice.token })).data
    expect(wallet.balance).toBe(before - 1234)
    const entries = (await edge.get("/wallet/entries", { token: alice.token })).data.items
    expect(entries[0]).toMatchObject({
      kind: "payment",
      amount: -1234,
      balance_after: wallet.balance,
      order_num: order.order_num,
    })
    // What is shown may be a second old.
    await poll(
      "the stock that is shown is 4",
      async () => (await edge.get(`/product/${product.id}`)).data.stock === 4,
      patient(2_000),
    )
  })

  it("pay by the sandbox provider: its signed callback makes the order paid", async () => {
    const buyer = await edge.newcomer()
    const product = await edge.publish()
    const { order_num } = (await buy(buyer.token, product.id)).data
    await edge.settled(order_num, buyer.token, "unpaid")
    const key = randomUUID()
    const asked = await edge.post(
      `/orders/${order_num}/pay`,
      { channel: "sandbox" },
      { token: buyer.token, key },
    )
    expect(asked.data).toMatchObject({ status: "requires_action", pay_url: expect.stringContaining("/pay/") })
    const page = await fetch(asked.data.pay_url)
    expect(page.headers.get("content-type")).toContain("text/html")
    expect(await page.text()).toContain(order_num)

    const again = await edge.post(
      `/orders/${order_num}/pay`,
      { channel: "sandbox" },
      { token: buyer.token, key },
    )
    expect(again.headers.get("idempotent-replayed")).toBe("true")
    expect(again.data.payment_id).toBe(asked.data.payment_id)
    const other = await edge.post(
      `/orders/${order_num}/pay`,
      { channel: "balance" },
      { token: buyer.token, key },
    )
    expect([other.status, other.code]).toEqual([422, 521])

    expect((await fetch(`${asked.data.pay_url}/succeed`, { method: "POST" })).status).toBe(200)
    const paid = await edge.settled(order_num, buyer.token, "paid")
    expect(paid["payment"]).toMatchObject({
      payment_id: asked.data.payment_id,
      channel: "sandbox",
      status: "succeeded",
    })
    expect((await edge.get(`/payments/${asked.data.payment_id}`, { token: buyer.token })).data.status).toBe(
      "succeeded",
    )

    const late = await edge.post(
      `/orders/${order_num}/pay`,
      { channel: "balance" },
      { token: buyer.token, key: randomUUID() },
    )
    expect([late.status, late.code, late.data.state]).toEqual([409, 520, "paid"])
    const cancel = await edge.post(`/orders/${order_num}/cancel`, {}, { token: buyer.token })
    expect([cancel.status, cancel.code]).toEqual([409, 520])
  })

  it("a decline at the provider leaves the order payable; a wallet that is too small is declined", async () => {
    const buyer = await edge.newcomer()
    const product = await edge.publish()
    const { order_num } = (await buy(buyer.token, product.id)).data
    await edge.settled(order_num, buyer.token, "unpaid")
    const poor = await edge.post(
      `/orders/${order_num}/pay`,
      { channel: "balance" },
      { token: buyer.token, key: randomUUID() },
    )
    expect([poor.status, poor.code]).toEqual([402, 524])
    const first = await edge.ask(
      `/orders/${order_num}/pay`,
      { channel: "sandbox" },
      { token: buyer.token, key: randomUUID() },
    )
    await fetch(`${first.pay_url}/fail`, { method: "POST" })
    await expect
      .poll(async () => (await edge.get(`/payments/${first.payment_id}`, { token: buyer.token })).data.status)
      .toBe("declined")
    expect((await edge.get(`/orders/${order_num}`, { token: buyer.token })).data.state).toBe("unpaid")
    const second = await edge.ask(
      `/orders/${order_num}/pay`,
      { channel: "sandbox" },
      { token: buyer.token, key: randomUUID() },
    )
    expect(second.payment_id).not.toBe(first.payment_id)
    await fetch(`${second.pay_url}/succeed`, { method: "POST" })
    await edge.settled(order_num, buyer.token, "paid")
  })

  it("cancel gives the stock back, and the buyer may buy again", async () => {
    const buyer = await edge.newcomer()
    const product = await edge.publish({ stock: 1 })
    const { order_num } = (await buy(buyer.token, product.id)).data
    await edge.settled(order_num, buyer.token, "unpaid")
    const cancelled = await edge.post(`/orders/${order_num}/cancel`, {}, { token: buyer.token })
    expect(cancelled.data).toMatchObject({
      state: "cancelled",
      status: 2,
      cancel_reason: "user",
      paid_at: null,
    })
    // Redis follows MySQL by event; until it does, the buyer still holds the piece.
    const again = await poll("the buyer may buy again", async () => {
      const answer = await buy(buyer.token, product.id)
      if (answer.status === 202) return answer
      expect([answer.status, answer.code]).toEqual([409, 511])
      return undefined
    })
    expect(again.data.order_num).not.toBe(order_num)
    await edge.settled(again.data.order_num, buyer.token, "unpaid")
    const pay = await edge.post(
      `/orders/${order_num}/pay`,
      { channel: "sandbox" },
      { token: buyer.token, key: randomUUID() },
    )
    expect([pay.status, pay.code, pay.data.state]).toEqual([409, 520, "cancelled"])
  })

  it("an order belongs to its buyer: nobody else can see, pay or cancel it", async () => {
    const [owner, other] = [await edge.newcomer(), await edge.newcomer()]
    const product = await edge.publish()
    const { order_num } = (await buy(owner.token, product.id)).data
    await edge.settled(order_num, owner.token, "unpaid")
    for (const answer of [
      await edge.get(`/orders/${order_num}`, { token: other.token }),
      await edge.post(
        `/orders/${order_num}/pay`,
        { channel: "balance" },
        { token: other.token, key: randomUUID() },
      ),
      await edge.post(`/orders/${order_num}/cancel`, {}, { token: other.token }),
    ])
      expect([answer.status, answer.code]).toEqual([404, 404])
    expect((await edge.get("/orders", { token: other.token })).data.items).toEqual([])
    expect((await edge.get("/orders?status=0", { token: owner.token })).data.items).toMatchObject([
      { order_num, state: "unpaid" },
    ])
    expect((await edge.get("/orders?status=1", { token: owner.token })).data.items).toEqual([])
  })

  it("each wrong time, product and repeat has its own code", async () => {
    const buyer = await edge.newcomer()
    const { token } = await edge.demo("operator")
    const soon = await edge.ask(
      "/products",
      {
        name: `later ${randomUUID()}`,
        price: 1,
        stock: 1,
        start_time: new Date(Date.now() + 3_600_000).toISOString(),
      },
      { token },
    )
    const early = await buy(buyer.token, soon.id)
    expect([early.status, early.code, early.data.start_time]).toEqual([409, 512, soon.start_time])

    const brief = await edge.publish({ end_time: new Date(Date.now() + 4000).toISOString(), stock: 3 })
    await expect
      .poll(async () => (await edge.get(`/product/${brief.id}`)).data.status, { timeout: 20_000 })
      .toBe("ended")
    const late = await buy(buyer.token, brief.id)
    expect([late.status, late.code]).toEqual([409, 513])

    const unknown = await buy(buyer.token, 999_999_999)
    expect([unknown.status, unknown.code]).toEqual([404, 404])

    const product = await edge.publish({ stock: 2 })
    const key = randomUUID()
    const first = await buy(buyer.token, product.id, {}, key)
    expect(first.status).toBe(202)
    const replay = await buy(buyer.token, product.id, {}, key)
    expect([replay.status, replay.data.order_num]).toEqual([202, first.data.order_num])
    const otherBody = await buy(buyer.token, product.id, { quantity: 2 }, key)
    expect([otherBody.status, otherBody.code]).toEqual([422, 521])
    const repeat = await buy(buyer.token, product.id)
    expect([repeat.status, repeat.code]).toEqual([409, 511])
    expect(repeat.data).toMatchObject({
      order_num: first.data.order_num,
      order_nums: [first.data.order_num],
      limit: 1,
    })
    const second = await edge.newcomer()
    expect((await buy(second.token, product.id)).status).toBe(202)
    const third = await edge.newcomer()
    const none = await buy(third.token, product.id)
    expect([none.status, none.code, none.data.left]).toEqual([409, 510, 0])
  })

  it("limits above one and quantities count pieces", async () => {
    const buyer = await edge.newcomer()
    const product = await edge.publish({ stock: 10, per_user_limit: 3 })
    const two = await buy(buyer.token, product.id, { quantity: 2 })
    expect(two.status).toBe(202)
    const more = await buy(buyer.token, product.id, { quantity: 2 })
    expect([more.status, more.code, more.data.limit]).toEqual([409, 511, 3])
    expect((await buy(buyer.token, product.id, { quantity: 1 })).status).toBe(202)
    const order = await edge.settled(two.data.order_num, buyer.token, "unpaid")
    expect(order.amount).toBe(2 * 9900)
  })

  it("publishing: refused without the permission, with a bad body, and when sent twice", async () => {
    const buyer = await edge.newcomer()
    const { token } = await edge.demo("operator")
    const start_time = new Date(Date.now() + 3_600_000).toISOString()
    const good = { name: `once ${randomUUID()}`, price: 100, stock: 1, start_time }
    expect((await edge.post("/products", good)).code).toBe(401)
    expect((await edge.post("/products", good, { token: buyer.token })).code).toBe(403)
    const bad: ReadonlyArray<[object, string]> = [
      [{ start_time: new Date(Date.now() - 1000).toISOString() }, "start_time"],
      [{ price: 0 }, "price"],
      [{ price: 1.5 }, "price"],
      [{ stock: -1 }, "stock"],
      [{ name: "" }, "name"],
      [{ end_time: start_time }, "end_time"],
      [{ image: "javascript:alert(1)" }, "image"],
      [{ image: "http://127.0.0.1/x.png" }, "image"],
      [{ per_user_limit: 101 }, "per_user_limit"],
      [{ status: "live" }, "status"],
    ]
    for (const [field, path] of bad) {
      const answer = await edge.post("/products", { ...good, ...field }, { token })
      expect([answer.status, answer.code], JSON.stringify(field)).toEqual([400, 400])
      expect(
        answer.data.issues.map((issue: { path: string }) => issue.path),
        JSON.stringify(field),
      ).toContain(path)
    }
    const [one, two] = await Promise.all([
      edge.post("/products", good, { token }),
      edge.post("/products", good, { token }),
    ])
    const [created, refused] = one.status === 201 ? [one, two] : [two, one]
    expect(created.status).toBe(201)
    expect([refused.status, refused.code, refused.data.id]).toEqual([409, 522, created.data.id])
  })

  it("a callback that is unsigned, old, or of another amount changes nothing", async () => {
    const { callback_secret } = (await stack.status())["sandbox"]!
    const { sign } = await import("@floodgate/contracts/payment/CallbackSignature")
    const buyer = await edge.newcomer()
    const product = await edge.publish()
    const { order_num } = (await buy(buyer.token, product.id)).data
    await edge.settled(order_num, buyer.token, "unpaid")
    const payment = await edge.ask(
      `/orders/${order_num}/pay`,
      { channel: "sandbox" },
      { token: buyer.token, key: randomUUID() },
    )
    const event = (more: object = {}) => ({
      event_id: randomUUID(),
      type: "payment.succeeded",
      payment_id: payment.payment_id,
      order_num,
      amount: payment.amount,
      currency: "CNY",
      provider_txn_id: randomUUID(),
      occurred_at: new Date().toISOString(),
      ...more,
    })
    const send = async (body: object, offS = 0, secret = callback_secret!) => {
      const signature = sign(
        [secret],
        Date.now() + offS * 1000,
        new TextEncoder().encode(JSON.stringify(body)),
      )
      const answer = await edge.post("/payment/callback/sandbox", body, {
        headers: { "x-floodgate-signature": signature },
      })
      return [answer.status, answer.code]
    }
    expect(await edge.post("/payment/callback", event()).then((a) => [a.status, a.code])).toEqual([401, 401])
    expect(await send(event(), 0, "another secret")).toEqual([401, 401])
    expect(await send(event(), -302)).toEqual([401, 401])
    expect(await send(event(), 302)).toEqual([401, 401])
    expect(await send(event({ amount: payment.amount + 1 }))).toEqual([422, 523])
    expect(await send(event({ currency: "USD" }))).toEqual([422, 523])
    expect((await edge.get(`/orders/${order_num}`, { token: buyer.token })).data.state).toBe("unpaid")
    const good = event()
    expect(await send(good)).toEqual([200, 0])
    expect(await send(good)).toEqual([200, 0])
    await edge.settled(order_num, buyer.token, "paid")
    expect(await send(event({ type: "payment.failed" }))).toEqual([200, 0])
    expect((await edge.get(`/orders/${order_num}`, { token: buyer.token })).data.state).toBe("paid")
  })
})
