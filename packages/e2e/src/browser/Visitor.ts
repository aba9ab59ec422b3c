/** Somebody in front of a browser: a page of their own, and everything that it complained about. */
import { mkdirSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { AxeBuilder } from "@axe-core/playwright"
import { type Browser, type BrowserContext, devices, type Page } from "playwright-core"

/** Pictures of the pages, for people to look at; not kept in the repository. */
export const pictures = fileURLToPath(new URL("../../.output/storefront", import.meta.url))
export const consolePictures = fileURLToPath(new URL("../../.output/console", import.meta.url))

/** The longest wait for anything to appear (ms): machines of tests are slow. */
const PATIENCE_MS = 45_000

/** Runs in the page. */
const REPORTS = `addEventListener("securitypolicyviolation", (event) =>
  complain(event.violatedDirective + " forbids " + event.blockedURI + " on " + event.documentURI))`

const IPHONE = `Object.defineProperty(navigator, "userAgentData", { value: undefined })
Object.defineProperty(navigator, "platform", { value: "iPhone" })`

export interface Visitor {
  readonly page: Page
  readonly context: BrowserContext
  /** What the policy has forbidden, and what the page failed with. */
  readonly complaints: ReadonlyArray<string>
  readonly picture: (name: string) => Promise<void>
  /** Serious findings on the page as it is now, one line each. */
  readonly findings: () => Promise<ReadonlyArray<string>>
  readonly signIn: (username: string, password?: string) => Promise<void>
}

export interface Looks {
  readonly phone?: boolean
  readonly dark?: boolean
  readonly language?: "en" | "zh"
  readonly still?: boolean
  /** What scripts take for Safari on an iPhone. */
  readonly ios?: boolean
  /** The folder of the pictures. */
  readonly album?: string
}

export const visit = async (browser: Browser, url: string, looks: Looks = {}): Promise<Visitor> => {
  const { album = pictures, dark = false, ios = false, language = "en", phone = false, still = false } = looks
  const { defaultBrowserType: _, ...pixel } = devices["Pixel 7"]!
  const context = await browser.newContext({
    ...(phone ? pixel : { viewport: { width: 1200, height: 850 } }),
    baseURL: url,
    ...(ios ? { userAgent: devices["iPhone 15"]!.userAgent } : {}),
    colorScheme: dark ? "dark" : "light",
    locale: language === "zh" ? "zh-CN" : "en-GB",
    reducedMotion: still ? "reduce" : "no-preference",
  })
  context.setDefaultTimeout(PATIENCE_MS)
  const complaints: Array<string> = []
  await context.exposeFunction("complain", (text: string) => {
    complaints.push(text)
  })
  await context.addInitScript({ content: REPORTS })
  if (ios) await context.addInitScript({ content: IPHONE })
  const page = await context.newPage()
  page.on("pageerror", (error) => complaints.push(`${error.name}: ${error.message}`))
  mkdirSync(album, { recursive: true })
  return {
    page,
    context,
    complaints,
    picture: async (name) => {
      await page.screenshot({ path: join(album, `${name}.png`), fullPage: true, animations: "disabled" })
    },
    findings: async () => {
      const { violations } = await new AxeBuilder({ page }).analyze()
      return violations
        .filter(({ impact }) => impact === "serious" || impact === "critical")
        .map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(" | ")}`)
    },
    signIn: async (username, password = `floodgate-${username}`) => {
      await page.getByLabel(/^(Username|用户名)/).fill(username)
      await page.getByLabel(/^(Password|密码)/).fill(password)
      await page.keyboard.press("Enter")
      await page.getByRole("button", { name: /^(Sign out|退出)$/ }).waitFor()
    },
  }
}
