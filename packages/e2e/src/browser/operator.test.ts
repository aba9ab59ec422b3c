/** What operators change by hand, each by the console's own forms, and what comes of it outside the console. */
import { randomInt } from "node:crypto"
import { partitions, Topic } from "@floodgate/contracts/events/Topic"
import * as Shards from "@floodgate/runtime/redis/Shards"
import { Kafka, logLevel } from "kafkajs"
import { type Browser, chromium, type Page } from "playwright-core"
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest"
import { Ledgers } from "../support/Books.ts"
import { Edge, patiently } from "../support/Edge.ts"
import { poll } from "../support/Poll.ts"
import { Stack } from "../support/Stack.ts"
import { consolePictures, type Visitor, visit } from "./Visitor.ts"

const edge = new Edge(inject("shopUrl"))

let browser: Browser
let desk: Visitor
let page: Page
let admin: string

/** Opens an object's drawer by its address. */
const open = async (where: string): Promise<void> => {
  await page.goto(`/console/${where}`)
  await page.locator("main h1").waitFor()
  await page.getByRole("dialog").first().waitFor()
}

/** Presses what a button of the page or drawer offers, fills its form, and sends it. */
const act = async (
  label: string,
  fill: (form: ReturnType<Page["getByRole"]>) => Promise<void> = async () => {},
) => {
  await page.getByRole("button", { name: label, exact: true }).last().click()
  const form = page.getByRole("dialog").last()
  await form.getByText(label).first().waitFor()
  await fill(form)
  const reason = form.getByLabel("Reason")
  if ((await reason.count()) > 0) await reason.fill(`a test of “${label}”`)
  await desk.picture(`act-${label.toLowerCase().replaceAll(" ", "-")}`)
  await form.getByRole("button", { name: label, exact: true }).click()
  await page.getByText(`${label}: done.`).last().waitFor()
}

/** Chooses in a select of a form. */
const choose = async (form: ReturnType<Page["getByRole"]>, label: string, option: string): Promise<void> => {
  await form.getByLabel(label, { exact: true }).click()
  await page.locator(`.ant-select-item-option[title="${option}"]`).click()
}

/** One wish; answers its number. */
const wish = async (product_id: number, token: string): Promise<string> => {
  const key = `w-${randomInt(1e12)}`
  const { order_num } = await patiently("a wish is accepted", () =>
    edge.ask("/seckill", { product_id }, { token, key }),
  )
  return order_num
}

/** The smallest picture there is: one red pixel as PNG. */
const PIXEL = Buffer.from(
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGP4z8DwHwAFAAH/iZk9HQAAAABJRU5ErkJggg==",
  "base64",
)

beforeAll(async () => {
  browser = await chromium.connect(inject("browserEndpoint"))
  desk = await visit(browser, inject("shopUrl"), { album: consolePictures, still: true })
  page = desk.page
  await page.goto("/console/overview")
  await desk.signIn("admin")
  admin = (await edge.demo("admin")).token
})

afterAll(async () => {
  await desk.context.close()
  await browser.close()
})

describe("an operator's forms", () => {
  it("publish with a picture, clone, change stock, rebuild and withdraw a product", async () => {
    const name = `Harbour lamp ${randomInt(1000, 9999)}`
    await page.goto("/console/products")
    await act("Publish a product", async (form) => {
      await form.getByLabel("Name").fill(name)
      await form.getByLabel("Price", { exact: true }).fill("80")
      await form.getByLabel("Stock", { exact: true }).fill("7")
      await form
        .getByLabel("Picture")
        .setInputFiles({ name: "lamp.png", mimeType: "image/png", buffer: PIXEL })
      await form.locator(".image-input img").waitFor()
    })
    const { data: found } = await edge.get(`/admin/products?q=${encodeURIComponent(name)}`, { token: admin })
    const [product] = found.items
    expect(product).toMatchObject({ name, stock: 7, price: 8000 })
    // The edge encodes pictures anew.
    const picture = await fetch(new URL(product.image, inject("shopUrl")))
    expect(picture.status).toBe(200)
    expect(picture.headers.get("content-type")).toMatch(/^image\//)

    await open(`products?show=${product.id}`)
    await act("Change stock", (form) => form.getByLabel("Change", { exact: true }).fill("-3"))
    expect((await edge.get(`/admin/products/${product.id}`, { token: admin })).data.stock).toBe(4)
    await open(`products?show=${product.id}`)
    await act("Rebuild")
    await poll("it is ready again", async () => {
      const { data } = await edge.get(`/admin/products/${product.id}/readiness`, { token: admin })
      return data?.ready === true
    })
    await open(`products?show=${product.id}`)
    await act("Clone", async (form) => {
      await form.getByLabel("Name").fill(`${name} II`)
      await form.getByLabel("Stock", { exact: true }).fill("9")
    })
    const clones = await edge.get(`/admin/products?q=${encodeURIComponent(`${name} II`)}`, { token: admin })
    expect(clones.data.items).toHaveLength(1)
    expect(clones.data.items[0]).toMatchObject({ stock: 9, price: 8000, image: product.image })
    await open(`products?show=${product.id}`)
    await act("Withdraw")
    await poll("buyers see it as withdrawn", async () => {
      const { data } = await edge.get(`/product/${product.id}`)
      return data?.status === "withdrawn"
    })
    const log = await edge.get(`/admin/audit?target=product:${product.id}`, { token: admin })
    expect(log.data.items.map(({ action }: { action: string }) => action)).toEqual(
      expect.arrayContaining(["product.publish", "product.stock", "product.rebuild", "product.withdraw"]),
    )
  }, 300_000)

  it("refund a paid order: the money is back in the wallet, once", async () => {
    const product = await edge.publish({ stock: 3, price: 1_500 })
    // She has money in her wallet.
    const buyer = await edge.demo("alice")
    const order_num = await wish(product.id, buyer.token)
    await edge.settled(order_num, buyer.token, "unpaid")
    const before = (await edge.get("/wallet", { token: buyer.token })).data.balance
    await patiently("the order is paid", () =>
      edge.ask(
        `/orders/${order_num}/pay`,
        { channel: "balance" },
        { token: buyer.token, key: `p-${order_num}` },
      ),
    )
    await edge.settled(order_num, buyer.token, "paid")
    await open(`orders?order_num=${order_num}&show=${order_num}`)
    await act("Refund")
    await edge.settled(order_num, buyer.token, "refunded")
    expect((await edge.get("/wallet", { token: buyer.token })).data.balance).toBe(before)
    await page.goto(`/console/refunds?order_num=${order_num}`)
    await page.getByRole("row", { name: order_num }).getByText("succeeded").waitFor()
    await desk.picture("refund-succeeded")
  }, 180_000)

  it("ban an account and lift the ban: its session is refused, and it may sign in again", async () => {
    const buyer = await edge.newcomer()
    await open(`users?q=${buyer.username}&show=${buyer.id}`)
    await act("Ban")
    await poll("its session is refused", async () => {
      const { status } = await edge.get("/profile", { token: buyer.token })
      return status === 401 || status === 403
    })
    await open(`users?q=${buyer.username}&show=${buyer.id}`)
    await act("Lift the ban")
    await poll("it isn't banned", async () => {
      const { data } = await edge.get(`/admin/users/${buyer.id}`, { token: admin })
      return data?.state === "active"
    })
  }, 180_000)

  it("give and take roles: the account may do what the role permits, and no more", async () => {
    const clerk = await edge.newcomer()
    await open(`users?q=${clerk.username}&show=${clerk.id}`)
    await act("Roles", (form) => form.getByLabel("auditor").check())
    const { data } = await edge.get(`/admin/users/${clerk.id}`, { token: admin })
    expect(data.roles).toContain("auditor")
    await open(`users?q=${clerk.username}&show=${clerk.id}`)
    await act("Roles", (form) => form.getByLabel("auditor").uncheck())
    const after = await edge.get(`/admin/users/${clerk.id}`, { token: admin })
    expect(after.data.roles).not.toContain("auditor")
  }, 180_000)

  it("make, change and delete a risk rule; list an address and take it off; change a limit", async () => {
    const rules = async (): Promise<ReadonlyArray<any>> =>
      (await edge.get("/admin/risk/rules", { token: admin })).data.items
    const before = new Set((await rules()).map(({ id }) => id))
    await page.goto("/console/rules")
    await act("New rule", async (form) => {
      await form.getByLabel("At most", { exact: true }).fill("4000")
      await form.getByLabel("Within (s)", { exact: true }).fill("60")
    })
    const rule = (await rules()).find(({ id }) => !before.has(id))
    expect(rule).toMatchObject({
      kind: "device-frequency",
      mode: "observe",
      params: { max: 4000, window_s: 60 },
    })
    await open(`rules?show=${rule.id}`)
    await act("Change", (form) => choose(form, "Does", "block"))
    expect((await rules()).find(({ id }) => id === rule.id)).toMatchObject({ mode: "block", enabled: true })
    await open(`rules?show=${rule.id}`)
    await act("Delete")
    expect((await rules()).some(({ id }) => id === rule.id)).toBe(false)

    await page.goto("/console/addresses")
    await act("List an address", async (form) => {
      await form.getByLabel("Address or block", { exact: true }).fill("203.0.113.7")
      await choose(form, "List", "black")
    })
    const asked = () => edge.get("/products", { headers: { "x-forwarded-for": "203.0.113.7" } })
    await poll("the address is refused", async () => (await asked()).code === 703)
    await page.goto("/console/addresses?ip=203.0.113.7")
    await page.getByRole("row", { name: "203.0.113.7" }).getByRole("button", { name: /^Open/ }).click()
    await act("Take off")
    await poll("it is let through", async () => (await asked()).code === 0)

    await page.goto("/console/limits")
    await page.getByRole("row", { name: "callback" }).getByRole("button", { name: /^Open/ }).click()
    const burst = async (): Promise<number> =>
      (await edge.get("/admin/limits/callback", { token: admin })).data.burst
    const was = await burst()
    await act("Change", (form) => form.getByLabel("At once", { exact: true }).fill(String(was + 7)))
    expect(await burst()).toBe(was + 7)
  }, 300_000)

  it.skipIf(inject("shopStack") === undefined)(
    "replay a dead letter once its cause is gone, and discard one that nobody can read",
    async () => {
      const { data, portBase } = inject("shopStack")!
      const stack = new Stack(data, portBase)
      const status = await stack.status()
      const urlOf = (name: string): string => status[name]!.url!
      const ledgers = new Ledgers({ mysql: urlOf("mysql"), redis: urlOf("redis") })
      try {
        const product = await edge.publish({ stock: 5, price: 900 })
        const buyer = await edge.newcomer()
        // Nobody makes an order until what stands in its way is there.
        await stack.stop("ordering")
        const order_num = await wish(product.id, buyer.token)
        await ledgers.mysql.execute(
          "INSERT INTO inventory.stock_log (product_id, kind, ref, delta) VALUES (?, 'order', ?, 0)",
          [product.id, order_num],
        )
        await stack.restart("ordering")
        const letters = async (query: string): Promise<ReadonlyArray<any>> =>
          (await edge.get(`/admin/dead-letters?${query}`, { token: admin })).data?.items ?? []
        const letter = await poll("a letter", async () => (await letters(`order_num=${order_num}`))[0])
        await open(`dead-letters?state=open&show=${letter.id}`)
        await desk.picture("dead-letter")
        expect(await desk.findings()).toEqual([])
        await ledgers.mysql.execute(
          "DELETE FROM inventory.stock_log WHERE product_id = ? AND kind = 'order' AND ref = ? AND delta = 0",
          [product.id, order_num],
        )
        await act("Replay")
        await edge.settled(order_num, buyer.token, "unpaid")
        expect((await letters(`order_num=${order_num}`))[0].state).toBe("replayed")

        const known = new Set((await letters("limit=100")).map(({ id }) => id))
        const kafka = new Kafka({
          brokers: urlOf("kafka").split(","),
          logLevel: logLevel.NOTHING,
        })
        const producer = kafka.producer({ allowAutoTopicCreation: false })
        await producer.connect()
        await producer.send({
          topic: Topic.Reservations,
          messages: [
            {
              key: "planted",
              value: "not even JSON",
              partition: Shards.partitionOf(Shards.shardOf(product.id), partitions[Topic.Reservations]),
            },
          ],
        })
        await producer.disconnect()
        const unreadable = await poll("it is a letter, too", async () =>
          (await letters("limit=100")).find(({ id }) => !known.has(id)),
        )
        await open(`dead-letters?state=open&show=${unreadable.id}`)
        await act("Discard")
        expect((await edge.get(`/admin/dead-letters/${unreadable.id}`, { token: admin })).data.state).toBe(
          "discarded",
        )
      } finally {
        await ledgers.close()
      }
    },
    300_000,
  )

  it("have broken no rule of the pages' policy, and thrown nothing", () => {
    expect(desk.complaints).toEqual([])
  })
})
