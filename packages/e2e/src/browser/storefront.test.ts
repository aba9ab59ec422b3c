/** The storefront as people meet it: in a real browser, on a real stack. */
import { randomInt } from "node:crypto"
import { type Browser, chromium } from "playwright-core"
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest"
import { Edge, patiently } from "../support/Edge.ts"
import { poll } from "../support/Poll.ts"
import { Stack } from "../support/Stack.ts"
import { pictures, type Visitor, visit } from "./Visitor.ts"

const url = inject("shopUrl")
const edge = new Edge(url)

let browser: Browser
const visitors: Array<Visitor> = []

const come = async (looks: Parameters<typeof visit>[2] = {}): Promise<Visitor> => {
  const visitor = await visit(browser, url, looks)
  visitors.push(visitor)
  return visitor
}

/** A product that opens in so many ms. A machine that is busy is asked again: that isn't what is tried here. */
const announce = async (fields: Readonly<Record<string, unknown>>, inMs: number) => {
  const { token } = await edge.demo("operator")
  return poll("a product is announced", async () => {
    const start_time = new Date(Date.now() + inMs).toISOString()
    const name = `Tide clock ${randomInt(1000, 9999)}`
    const body = { name, price: 9900, stock: 10, start_time, ...fields }
    const answer = await edge.post("/products", body, { token })
    return answer.code === 0 && answer.data
  })
}

/** A product that is open. */
const opened = async (fields: Readonly<Record<string, unknown>>) => {
  const product = await announce(fields, 1_500)
  await poll("it is open", async () => (await edge.get(`/product/${product.id}`)).data?.status === "live")
  return product
}

beforeAll(async () => {
  browser = await chromium.connect(inject("browserEndpoint"))
})

afterAll(async () => {
  await Promise.all(visitors.map(({ context }) => context.close()))
  await browser.close()
  process.stderr.write(`pictures of the pages: ${pictures}\n`)
})

describe("the storefront", () => {
  it("sells to two people at once, and each sees live what the other does", async () => {
    const later = await announce({ per_user_limit: 2, original_price: 19_900 }, 3_600_000)
    // On iOS a dialog keeps the page behind it still by other means.
    const [alice, bob] = [await come({ phone: true }), await come({ ios: true })]

    await alice.page.goto("/")
    await alice.page.getByRole("link", { name: later.name }).first().waitFor()
    await alice.picture("sales-phone")
    expect(await alice.findings()).toEqual([])
    await alice.page.goto(`/s/products/${later.id}`)
    await alice.page.getByRole("timer", { name: /^Opens in/ }).waitFor()
    await alice.picture("product-upcoming-phone")
    expect(await alice.findings()).toEqual([])

    await alice.page.getByRole("link", { name: "Sign in", exact: true }).click()
    await alice.page.getByLabel(/^Username/).waitFor()
    await alice.picture("sign-in-phone")
    expect(await alice.findings()).toEqual([])
    await alice.signIn("alice")
    await bob.page.goto("/s/sign-in?next=/")
    await bob.signIn("bob")
    await bob.page.getByRole("heading", { name: "Open now" }).waitFor()
    await bob.picture("sales-desktop")
    expect(await bob.findings()).toEqual([])

    const { id, name } = await announce(
      {
        stock: 2,
        original_price: 19_900,
        description: "A brass clock that shows the tide instead of the hour.",
      },
      20_000,
    )
    await alice.page.goto(`/s/products/${id}`)
    await bob.page.goto(`/s/products/${id}`)
    await bob.page.getByRole("meter", { name: "left" }).getByText("2", { exact: true }).waitFor()

    // Nobody reloads: the page opens by itself.
    await alice.page.getByRole("button", { name: /^Buy now/ }).click()
    await alice.page.getByText("Waiting for payment").waitFor()
    await alice.picture("order-unpaid-phone")
    expect(await alice.findings()).toEqual([])

    await bob.page.getByRole("meter", { name: "left" }).getByText("1", { exact: true }).waitFor()
    await bob.picture("product-live-desktop")
    expect(await bob.findings()).toEqual([])
    await bob.page.getByRole("button", { name: /^Buy now/ }).click()
    await bob.page.getByText("Waiting for payment").waitFor()

    await alice.page.getByRole("button", { name: /^Pay / }).click()
    await alice.page.getByText("Thank you. It is yours.").waitFor()
    await alice.picture("order-paid-phone")
    expect(await alice.findings()).toEqual([])
    await alice.page.goto(`/s/products/${id}`)
    await alice.page.getByRole("button", { name: "Sold out" }).waitFor()
    await alice.picture("product-sold-out-phone")

    await bob.page.getByRole("button", { name: "Cancel order" }).click()
    await bob.page.getByRole("alertdialog").waitFor()
    expect(
      await bob.page.evaluate("getComputedStyle(document.querySelector('main')).overscrollBehaviorY"),
    ).toBe("contain")
    await bob.picture("order-cancel-desktop")
    expect(await bob.findings()).toEqual([])
    await bob.page.getByRole("button", { name: "Yes, cancel it" }).click()
    await bob.page.getByText("You cancelled it.").waitFor()
    expect(await bob.page.getByRole("alertdialog").count()).toBe(0)
    // The piece is back on sale, on a page that nobody touched.
    await alice.page.getByRole("meter", { name: "left" }).getByText("1", { exact: true }).waitFor()

    await alice.page.getByRole("button", { name: /^Buy now/ }).click()
    await alice.page.getByText("You already have this").waitFor()
    await alice.picture("refused-phone")
    expect(await alice.findings()).toEqual([])

    await alice.page.getByRole("link", { name: "Orders" }).click()
    await alice.page.getByRole("link", { name }).first().waitFor()
    await alice.picture("orders-phone")
    expect(await alice.findings()).toEqual([])
  }, 240_000)

  it("goes on after a reload with the same wish, when no answer came", async () => {
    const product = await opened({ stock: 3 })
    const buyer = await edge.newcomer()
    const { page } = await come({ phone: true })
    await page.goto(`/s/sign-in?next=/s/products/${product.id}`)
    await page.getByRole("tab", { name: "I'm new here" }).click()
    // Their name is taken, which is said in words.
    await page.getByLabel(/^Username/).fill(buyer.username)
    await page.getByLabel(/^Password/).fill("a-password-nobody-has-7")
    await page.keyboard.press("Enter")
    await page.getByText("That username is taken").waitFor()
    await page.getByLabel(/^Username/).fill(`n_${Date.now()}`)
    await page.keyboard.press("Enter")

    const asked: Array<string | undefined> = []
    page.on("request", (request) => {
      if (new URL(request.url()).pathname === "/seckill") asked.push(request.headers()["idempotency-key"])
    })
    await page.route("**/seckill", (route) => route.abort())
    await page.getByRole("button", { name: /^Buy now/ }).click()
    await page.getByText("No answer from us").waitFor()
    await page.unroute("**/seckill")
    await page.reload()
    await page.getByText("Waiting for payment").waitFor()
    expect(asked.length).toBeGreaterThan(1)
    expect(new Set(asked).size).toBe(1)
  }, 180_000)

  it("leads through a waiting room, pays by the provider's page, and tops the wallet up", async () => {
    const product = await opened({
      stock: 3,
      price: 1500,
      access: { waiting_room: true, challenge: false },
    })
    const buyer = await come({ phone: true, dark: true, language: "zh" })
    const { page } = buyer
    await page.goto(`/s/sign-in?next=/s/products/${product.id}`)
    await page.getByRole("tab", { name: "新用户" }).click()
    await page.getByLabel(/^用户名/).fill(`r_${Date.now()}`)
    await page.getByLabel(/^密码/).fill("a-password-nobody-has-7")
    await page.keyboard.press("Enter")
    expect(await page.getAttribute("html", "lang")).toBe("zh-CN")
    await page.getByText("设有排队大厅").waitFor()
    await buyer.picture("product-live-dark-zh-phone")
    expect(await buyer.findings()).toEqual([])
    await page.getByRole("button", { name: /^立即抢购/ }).click()
    await page.getByText("等待付款").waitFor()

    await page.getByText("测试支付").click()
    await page.getByRole("button", { name: /^支付/ }).click()
    const provider = buyer.context.waitForEvent("page")
    await page.getByRole("link", { name: "前往支付页面" }).click()
    await (await provider).getByRole("button", { name: "Pay now" }).click()
    await page.getByText("谢谢，商品已归您所有。").waitFor()
    await buyer.picture("order-paid-dark-zh-phone")
    expect(await buyer.findings()).toEqual([])

    await page.getByRole("link", { name: "钱包" }).click()
    await page.getByRole("button", { name: "通过测试支付充值" }).click()
    const topUp = buyer.context.waitForEvent("page")
    await page.getByRole("link", { name: "前往支付页面" }).click()
    await (await topUp).getByRole("button", { name: "Pay now" }).click()
    await page.getByText("¥100.00 已到账。").waitFor()
    await page.getByText("+¥100.00").waitFor()
    await buyer.picture("wallet-dark-zh-phone")
    expect(await buyer.findings()).toEqual([])

    await page.getByText("EN", { exact: true }).click()
    await page.getByRole("heading", { name: "Wallet" }).waitFor()
    expect(await page.getAttribute("html", "lang")).toBe("en")
  }, 180_000)

  it("asks for the work that a product wants done, shows it, and buys with what it proved", async () => {
    const product = await opened({ stock: 3, access: { waiting_room: false, challenge: true } })
    const buyer = await edge.newcomer()
    // Without the work done there is nothing to be had.
    const refused = await edge.post(
      "/seckill",
      { product_id: product.id },
      { token: buyer.token, key: "no-work-1" },
    )
    expect([refused.status, refused.code]).toEqual([403, 704])

    const { page, findings, picture } = await come({ phone: true })
    await page.goto(`/s/sign-in?next=/s/products/${product.id}`)
    await page.getByRole("tab", { name: "I'm new here" }).click()
    await page.getByLabel(/^Username/).fill(`c_${Date.now()}`)
    await page.getByLabel(/^Password/).fill("a-password-nobody-has-7")
    await page.keyboard.press("Enter")
    await page.getByRole("button", { name: /^Buy now/ }).waitFor()
    await page.evaluate(`new MutationObserver(() => {
      if (document.body.innerText.includes("Checking your browser")) globalThis.sawTheCheck = true
    }).observe(document.body, { childList: true, subtree: true })`)
    const asked: Array<string> = []
    page.on("request", (request) => {
      const { pathname } = new URL(request.url())
      if (request.method() === "POST") asked.push(pathname.replace(/^\/challenge\/.*/, "/challenge/…"))
    })
    await page.getByRole("button", { name: /^Buy now/ }).click()
    await page.getByText("Waiting for payment").waitFor()
    expect(asked.filter((path) => /challenge|seckill/.test(path))).toEqual([
      "/challenge",
      "/challenge/…",
      "/seckill",
    ])
    expect(await page.evaluate("globalThis.sawTheCheck")).toBe(true)
    await picture("order-after-check-phone")
    expect(await findings()).toEqual([])
  }, 180_000)

  it.skipIf(inject("shopStack") === undefined)(
    "says that the edge is gone, comes back by itself, and then shows what was sold meanwhile",
    async () => {
      const { data, portBase } = inject("shopStack")!
      const stack = new Stack(data, portBase)
      const product = await opened({ stock: 5 })
      const visitor = await come()
      const { page } = visitor
      await page.goto(`/s/products/${product.id}`)
      const left = page.getByRole("meter", { name: "left" })
      await left.getByText("5", { exact: true }).waitFor()
      await page.getByText("Live", { exact: true }).waitFor()

      await stack.stop("edge")
      await page.getByText("Reconnecting…").waitFor()
      await visitor.picture("edge-gone-desktop")
      const other = new Edge(stack.urlOf(2))
      const buyer = await other.newcomer()
      const key = `away-${Date.now()}`
      await patiently("a wish is accepted", () =>
        other.ask("/seckill", { product_id: product.id }, { token: buyer.token, key }),
      )
      await stack.restart("edge")
      // Nobody reloads.
      await page.getByText("Live", { exact: true }).waitFor()
      await left.getByText("4", { exact: true }).waitFor()
    },
    240_000,
  )

  it("stands still for whoever asks for it, is walked by keyboard, and knows what it doesn't have", async () => {
    const visitor = await come({ still: true })
    const { page } = visitor
    await page.goto("/")
    await page.getByRole("heading", { name: "Open now" }).waitFor()
    expect(
      await page.evaluate("document.getAnimations().filter((each) => each.playState === 'running').length"),
    ).toBe(0)
    await page.keyboard.press("Tab")
    expect(await page.evaluate("document.activeElement.textContent")).toBe("Skip to content")
    await page.keyboard.press("Enter")
    expect(await page.evaluate("document.activeElement.id")).toBe("main")

    await page.goto("/s/nowhere")
    await page.getByRole("heading", { name: "There is no such page" }).waitFor()
    await page.goto("/s/products/9007199254740991")
    await page.getByText("We can't find that").waitFor()
    await page.goto("/docs")
    await page.getByText("/seckill").first().waitFor()
    await visitor.picture("docs-desktop")
    await page.goto("/console")
    await page.getByRole("heading").first().waitFor()
  }, 180_000)

  it("has broken no rule of its policy on any page, and thrown nothing", () => {
    expect(visitors.flatMap(({ complaints }) => complaints)).toEqual([])
  })
})
