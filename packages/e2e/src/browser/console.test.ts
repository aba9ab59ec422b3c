/** The console as those who run the sale meet it: in a real browser, on a real stack. */
import { randomInt } from "node:crypto"
import { permissionsOf } from "@floodgate/contracts/Roles"
import { type Browser, chromium, type Page } from "playwright-core"
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest"
import { Edge } from "../support/Edge.ts"
import { poll } from "../support/Poll.ts"
import { consolePictures, type Visitor, visit } from "./Visitor.ts"

const url = inject("shopUrl")
const edge = new Edge(url)

let browser: Browser
const visitors: Array<Visitor> = []

const come = async (looks: Parameters<typeof visit>[2] = {}): Promise<Visitor> => {
  const visitor = await visit(browser, url, { album: consolePictures, still: true, ...looks })
  visitors.push(visitor)
  return visitor
}

/** Signs in and waits for the page. A machine that is busy is asked again: that isn't what is tried here. */
const enter = async ({ page }: Visitor, role: string, at: string): Promise<void> => {
  await page.goto(`/console${at}`)
  await page.getByLabel(/^(Username|用户名)/).fill(role)
  await page.getByLabel(/^(Password|密码)/).fill(`floodgate-${role}`)
  await page.keyboard.press("Enter")
  await poll(`${role} is signed in`, async () => {
    if (await page.getByRole("button", { name: /^(Sign out|退出)$/ }).isVisible()) return true
    if (await page.getByRole("alert").isVisible()) await page.keyboard.press("Enter")
    return undefined
  })
  await page.locator("main h1, .ant-result-title").first().waitFor()
}

/** One wish, asked again under its key while the machine is busy. Answers its number. */
const wish = async (product_id: number, token: string): Promise<string> => {
  const key = `wish-${randomInt(1e12)}`
  const answer = await poll("a wish is accepted", async () => {
    const asked = await edge.post("/seckill", { product_id }, { token, key })
    if (asked.code !== 0 && asked.code !== 530) throw new Error(`the wish got ${asked.code}: ${asked.msg}`)
    return asked.code === 0 && asked
  })
  return answer.data.order_num
}

/** Fills the open form's reason and presses its button. */
const confirm = async (page: Page, label: string, reason: string): Promise<void> => {
  const form = page.getByRole("dialog").last()
  await form.getByLabel("Reason").fill(reason)
  await form.getByRole("button", { name: label, exact: true }).click()
  await page.getByText(`${label}: done.`).first().waitFor()
}

/** Every page with what it needs to show something, and the permission by which it is seen. */
const pages = [
  ["overview", "report:read", "Overview"],
  ["sale-day", "product:read", "Sale day"],
  ["products", "product:read", "Products"],
  ["stock-log", "stock:read", "Stock log", "?product_id=1"],
  ["orders", "order:read", "Orders"],
  ["payments", "payment:read", "Payments"],
  ["refunds", "payment:read", "Refunds"],
  ["users", "user:read", "Accounts"],
  ["decisions", "risk:read", "Risk decisions"],
  ["rules", "risk:read", "Risk rules"],
  ["addresses", "risk:read", "Address lists"],
  ["limits", "risk:read", "Limits"],
  ["experiments", "experiment:read", "Experiments"],
  ["dead-letters", "queue:read", "Dead letters"],
  ["reconciliation", "report:read", "Reconciliation"],
  ["audit", "audit:read", "Audit"],
  ["webhooks", "webhook:read", "Webhooks"],
  ["deliveries", "webhook:read", "Deliveries"],
  ["keys", "key:write", "Keys"],
] as const

/** Nothing is loading any more. */
const settled = async (page: Page): Promise<void> => {
  await page.locator("main h1").waitFor()
  await page.locator("main .ant-skeleton").first().waitFor({ state: "detached" })
}

beforeAll(async () => {
  browser = await chromium.connect(inject("browserEndpoint"))
})

afterAll(async () => {
  await Promise.all(visitors.map(({ context }) => context.close()))
  await browser.close()
  process.stderr.write(`pictures of the console: ${consolePictures}\n`)
})

describe("the console", () => {
  it("carries an operator through sale day", async () => {
    const visitor = await come()
    const { page } = visitor
    await page.goto("/console/products")
    await page.getByRole("heading", { name: "Floodgate console" }).waitFor()
    await visitor.picture("sign-in")
    expect(await visitor.findings()).toEqual([])
    await page.getByLabel("Username").fill("admin")
    await page.getByLabel("Password").fill("not-the-password")
    await page.keyboard.press("Enter")
    await page.getByText("Wrong username or password").waitFor()
    await visitor.signIn("admin")
    await page.getByRole("heading", { name: "Products" }).waitFor()

    const name = `Storm lantern ${randomInt(1000, 9999)}`
    await page.getByRole("button", { name: "Publish a product" }).click()
    const form = page.getByRole("dialog")
    await form.getByLabel("Name").fill(name)
    await form.getByLabel("Price", { exact: true }).fill("129.5")
    await form.getByLabel("Stock", { exact: true }).fill("40")
    await visitor.picture("publish")
    expect(await visitor.findings()).toEqual([])
    await form.getByRole("button", { name: "Publish a product" }).click()
    await page.getByText("Publish a product: done.").first().waitFor()
    const row = page.getByRole("row", { name })
    await row.getByText("coming up").waitFor()
    await row.getByText("¥129.50").waitFor()
    await row.getByRole("button", { name: /^Open/ }).click()
    await page.getByText("Ready", { exact: true }).waitFor()
    await visitor.picture("product")
    expect(await visitor.findings()).toEqual([])
    const product_id = Number(new URL(page.url()).searchParams.get("show"))

    // An edit is told by what was changed, and by the version that was seen.
    await page.getByRole("button", { name: "Edit", exact: true }).click()
    await page.getByRole("dialog").last().getByLabel("Description").fill("Burns for a night.")
    await confirm(page, "Edit", "the shop's text was missing")
    const { token } = await edge.demo("admin")
    const edited = await edge.get(`/admin/products/${product_id}`, { token })
    expect(edited.data).toMatchObject({ name, description: "Burns for a night.", price: 12_950 })

    const onSale = await edge.publish({ stock: 5, price: 1_000 })
    await page.goto("/console/sale-day")
    const rush = page.getByRole("region", { name: onSale.name })
    await rush.getByText("Ready", { exact: true }).waitFor()
    await visitor.picture("sale-day")
    expect(await visitor.findings()).toEqual([])
    const buyer = await edge.newcomer()
    const order_num = await wish(onSale.id, buyer.token)
    await edge.settled(order_num, buyer.token, "unpaid")
    // Nobody reloads: the page hears of it.
    await rush.locator("dd").getByText("4", { exact: true }).waitFor()

    await page.getByRole("button", { name: "Pause all sales" }).click()
    await visitor.picture("pause")
    expect(await visitor.findings()).toEqual([])
    await confirm(page, "Pause all sales", "the supplier called")
    await page.getByText("All sales are paused", { exact: true }).waitFor()
    const late = await edge.newcomer()
    await poll("a wish is refused as busy", async () => {
      const answer = await edge.post("/seckill", { product_id: onSale.id }, { token: late.token })
      return answer.code === 530
    })
    await visitor.picture("paused")
    await page.getByRole("button", { name: "Resume all sales" }).click()
    await confirm(page, "Resume all sales", "all is well")
    await page.getByText("Sales are on", { exact: true }).waitFor()

    await page.getByRole("link", { name: "Orders", exact: true }).click()
    await page.getByLabel("Order", { exact: true }).fill(order_num)
    await page.keyboard.press("Enter")
    await poll("the filter is in the address", async () => page.url().includes(order_num))
    await page.getByRole("row", { name: order_num }).getByRole("button", { name: /^Open/ }).click()
    await page.getByRole("button", { name: "Cancel order" }).click()
    await visitor.picture("cancel-order")
    await confirm(page, "Cancel order", "the buyer asked for it by telephone")
    await page.getByRole("dialog").getByText("cancelled", { exact: true }).waitFor()
    await visitor.picture("order")
    expect(await visitor.findings()).toEqual([])
    await edge.settled(order_num, buyer.token, "cancelled")
    await page.getByRole("button", { name: "Close", exact: true }).click()

    const download = page.waitForEvent("download")
    await page.getByRole("button", { name: "Export CSV" }).click()
    const file = await (await download).createReadStream()
    const text = Buffer.concat(await file.toArray()).toString()
    const [header, line] = text.split("\r\n")
    expect(header).toMatch(/^\uFEFFid,order_num,/)
    expect(line).toContain(order_num)

    await page.goto("/console/audit?action=order.cancel")
    await page.getByText("the buyer asked for it by telephone").first().waitFor()
    await visitor.picture("audit-of-cancel")

    await page.goto("/console/dead-letters?state=open")
    await settled(page)
    await visitor.picture("dead-letters")
  }, 600_000)

  it.each(["operator", "risk", "finance", "auditor", "admin"] as const)(
    "shows %s what the role permits, and nothing else",
    async (role) => {
      const visitor = await come()
      const { page } = visitor
      await enter(visitor, role, "")
      const mine = pages.filter(([, permission]) => permissionsOf[role].has(permission))
      await poll("the first page is open", async () => page.url().endsWith(`/console/${mine[0]![0]}`))
      await settled(page)
      const links = await page.getByRole("navigation", { name: "Pages" }).getByRole("link").allTextContents()
      expect(links).toEqual(mine.map(([, , title]) => title))
      await visitor.picture(`role-${role}`)
      const [hidden] = pages.filter(([, permission]) => !permissionsOf[role].has(permission))
      if (hidden === undefined) return
      // What the page before still asks for is its own.
      await page.goto("about:blank")
      const asked: Array<string> = []
      page.on("request", (request) => asked.push(new URL(request.url()).pathname))
      await page.goto(`/console/${hidden[0]}`)
      await page.getByText("Your role doesn't show this page").waitFor()
      expect(asked.filter((path) => path.startsWith("/admin/"))).toEqual([])
    },
    180_000,
  )

  it("turns away whoever has no role, and the edge does too", async () => {
    const visitor = await come()
    await enter(visitor, "alice", "/users")
    await visitor.page.getByText("This account has no access to the console").waitFor()
    expect(await visitor.page.getByRole("navigation").count()).toBe(0)
    expect(await visitor.findings()).toEqual([])
    const { token } = await edge.demo("alice")
    expect((await edge.get("/admin/users", { token })).code).toBe(403)
  }, 180_000)

  it("is readable on every page, on a desk and on a phone, in both languages, by day and by night", async () => {
    const desk = await come()
    const phone = await come({ phone: true, language: "zh", dark: true })
    await enter(desk, "admin", "/overview")
    await enter(phone, "admin", "/overview")
    for (const [name, , title, query = ""] of pages) {
      await desk.page.goto(`/console/${name}${query}`)
      await desk.page.getByRole("heading", { name: title, level: 1 }).waitFor()
      await settled(desk.page)
      await desk.picture(`${name}`)
      expect(await desk.findings(), name).toEqual([])

      await phone.page.goto(`/console/${name}${query}`)
      await settled(phone.page)
      await phone.picture(`${name}-phone`)
      expect(await phone.findings(), `${name} on a phone`).toEqual([])
      const overflow = "document.documentElement.scrollWidth - innerWidth"
      expect(await phone.page.evaluate(overflow), `${name} is wider than the phone`).toBe(0)
    }
    await phone.page.getByRole("button", { name: "页面" }).click()
    await phone.page.getByRole("dialog").getByRole("link", { name: "订单" }).waitFor()
    await phone.picture("menu-phone")
    expect(await phone.findings()).toEqual([])
  }, 600_000)

  it("has broken no rule of its policy on any page, and thrown nothing", () => {
    expect(visitors.flatMap(({ complaints }) => complaints)).toEqual([])
  })
})
