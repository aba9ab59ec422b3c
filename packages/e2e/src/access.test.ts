/** Accounts and access as people meet them: sessions, bans, roles, keys, the audit trail, and leaving for good. */
import { randomUUID } from "node:crypto"
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest"
import { patient } from "./faults/Patience.ts"
import { Ledgers } from "./support/Books.ts"
import { type Answer, Edge } from "./support/Edge.ts"
import { inParallel, poll } from "./support/Poll.ts"
import { Stack } from "./support/Stack.ts"

const { data, portBase } = inject("stack")
const stack = new Stack(data, portBase)
const edge = new Edge(stack.url)
/** The second edge of the same stack. */
const other = new Edge(stack.urlOf(2))

/** Asked for by those of whom only the token matters. */
const NO_PRODUCT = 999_999_999

/** Requests of one account between two refreshes, under way at once. */
const BURST = 50

/** A ban, and every other revocation, must hold within a second; the rest is for a machine that is busy. */
const inForceMs = () => patient(2_000)

interface Account {
  readonly id: number
  readonly username: string
  readonly password: string
  /** Of the first sign-in. */
  readonly token: string
  readonly refresh: string
}

const signIn = async (username: string, password: string) => {
  const session = await edge.ask("/login", { username, password })
  return {
    token: session.access_token as string,
    refresh: session.refresh_token as string,
    user: session.user,
  }
}

const newAccount = async (): Promise<Account> => {
  const username = `a_${randomUUID().replaceAll("-", "").slice(0, 20)}`
  const password = `pw-${randomUUID()}`
  const { id } = await edge.ask("/register", { username, password })
  const { refresh, token } = await signIn(username, password)
  return { id, username, password, token, refresh }
}

const refreshed = (refresh_token: string) => edge.post("/token/refresh", { refresh_token })

const summary = ({ code, status }: Answer): string => `${status}/${code}`

/** Waits until the token gets this answer on both paths through both edges; answers how long it took (ms). */
const untilAnswered = async (token: string, expected: string): Promise<number> => {
  const began = performance.now()
  await poll(
    `the token is answered ${expected}`,
    async () => {
      const answers = await Promise.all(
        [edge, other].flatMap((one) => [
          one.get("/profile", { token }),
          one.post("/seckill", { product_id: NO_PRODUCT }, { token }),
        ]),
      )
      return answers.every((answer) => summary(answer) === expected)
    },
    10_000,
  )
  const tookMs = performance.now() - began
  process.stderr.write(`${expected} on both edges after ${Math.round(tookMs)} ms\n`)
  return tookMs
}

const userOf = async (id: number, token: string) => {
  const answer = await edge.get(`/admin/users/${id}`, { token })
  expect(summary(answer)).toBe("200/0")
  return answer.data
}

describe("accounts and access", () => {
  let admin: { token: string; id: number }
  let ledgers: Ledgers

  beforeAll(async () => {
    admin = await edge.demo("admin")
    // One account asks both edges over and over here, and none of it is about how often.
    await edge.raiseLimits("seckill-user", "seckill-address", "seckill-product", "default")
    const status = await stack.status()
    ledgers = new Ledgers({ mysql: status["mysql"]!.url!, redis: status["redis"]!.url! })
  })
  afterAll(() => ledgers?.close())

  /** A write of the console by the admin, which has to succeed. */
  const administer = (path: string, body: object) => edge.ask(path, body, { token: admin.token })

  describe("sessions", () => {
    it("two refreshes at once get the same successor; a spent token that comes back ends its family, and no other", async () => {
      const account = await newAccount()
      const elsewhere = await signIn(account.username, account.password)
      const pair = await Promise.all([refreshed(account.refresh), refreshed(account.refresh)])
      expect(pair.map(summary)).toEqual(["200/0", "200/0"])
      expect(pair[0].data.refresh_token).toBe(pair[1].data.refresh_token)
      const third = await refreshed(pair[0].data.refresh_token)
      expect(summary(third)).toBe("200/0")

      expect(summary(await refreshed(account.refresh))).toBe("401/401")
      expect(summary(await refreshed(third.data.refresh_token))).toBe("401/401")
      expect(summary(await refreshed(elsewhere.refresh))).toBe("200/0")
    })

    it("sign-out ends one session, sign-out everywhere all of them, live tokens included", async () => {
      const account = await newAccount()
      const second = await signIn(account.username, account.password)
      expect(summary(await edge.post("/logout", { refresh_token: account.refresh }))).toBe("200/0")
      expect(summary(await refreshed(account.refresh))).toBe("401/401")
      expect(summary(await edge.get("/profile", { token: second.token }))).toBe("200/0")

      expect(summary(await edge.post("/logout/all", {}, { token: second.token }))).toBe("200/0")
      expect(await untilAnswered(second.token, "401/401")).toBeLessThan(inForceMs())
      expect(await untilAnswered(account.token, "401/401")).toBeLessThan(inForceMs())
      expect(summary(await refreshed(second.refresh))).toBe("401/401")

      const again = await signIn(account.username, account.password)
      expect(summary(await edge.get("/profile", { token: again.token }))).toBe("200/0")
    })

    it("guessing a password is stopped after ten tries from one address; its owner signs in from elsewhere", async () => {
      const account = await newAccount()
      const guess = (from: string, password: string) =>
        edge.post(
          "/login",
          { username: account.username, password },
          { headers: { "x-forwarded-for": from } },
        )
      const guesser = "10.255.1.1"
      const answers: Array<Answer> = []
      // One after another, as somebody guesses; ten a minute come back meanwhile, of which this machine may see some.
      for (let i = 0; i < 15; i++) answers.push(await guess(guesser, `guess number ${i}`))
      expect(answers.slice(0, 10).map(summary)).toEqual(Array.from({ length: 10 }, () => "401/502"))
      const stopped = answers.filter((answer) => answer.status === 429)
      expect(stopped.length).toBeGreaterThan(0)
      for (const answer of stopped) {
        expect(summary(answer)).toBe("429/429")
        expect(Number(answer.headers.get("retry-after"))).toBeGreaterThan(0)
      }
      // Not even with the right one: a guesser must not learn that it is.
      const rightly = [await guess(guesser, account.password), await guess(guesser, "one more guess")]
      expect(rightly.map(({ status }) => status)).toContain(429)
      expect(summary(await guess("10.255.1.2", account.password))).toBe("200/0")
    })

    it("a new password asks for the old one, and ends every session", async () => {
      const account = await newAccount()
      const new_password = `pw-${randomUUID()}`
      const change = (old_password: string, next: string) =>
        edge.post("/password", { old_password, new_password: next }, { token: account.token })
      expect(summary(await change("not the password", new_password))).toBe("401/502")
      expect(summary(await change(account.password, "password"))).toBe("400/400")
      expect(summary(await edge.get("/profile", { token: account.token }))).toBe("200/0")

      expect(summary(await change(account.password, new_password))).toBe("200/0")
      expect(await untilAnswered(account.token, "401/401")).toBeLessThan(inForceMs())
      expect(summary(await refreshed(account.refresh))).toBe("401/401")
      const old = await edge.post("/login", { username: account.username, password: account.password })
      expect(summary(old)).toBe("401/502")
      const { token } = await signIn(account.username, new_password)
      expect(summary(await edge.get("/profile", { token }))).toBe("200/0")
    })
  })

  describe("bans", () => {
    it("a ban refuses live tokens within a second, and sign-in and refresh; lifted, the account is as before", async () => {
      const account = await newAccount()
      const { version } = await userOf(account.id, admin.token)
      const reason = "bought with a script"
      const banned = await administer(`/admin/users/${account.id}/ban`, { reason, version })
      expect(banned).toMatchObject({ id: account.id, state: "banned", banned: true, banned_reason: reason })
      expect(banned.version).toBeGreaterThan(version)
      expect(await untilAnswered(account.token, "403/701")).toBeLessThan(inForceMs())
      const login = { username: account.username, password: account.password }
      expect(summary(await edge.post("/login", login))).toBe("403/701")
      const refresh = await refreshed(account.refresh)
      expect(refresh.status === 403 || refresh.status === 401).toBe(true)

      const list = await edge.get(`/admin/users?banned=true&q=${account.username}`, { token: admin.token })
      expect(list.data.items.map((user: { id: number }) => user.id)).toEqual([account.id])

      const stale = await edge.post(
        `/admin/users/${account.id}/unban`,
        { reason: "a mistake", version },
        { token: admin.token },
      )
      expect(summary(stale)).toBe("409/525")
      expect(stale.data.version).toBe(banned.version)
      await administer(`/admin/users/${account.id}/unban`, { reason: "a mistake", version: banned.version })
      await untilAnswered(account.token, "401/401")
      const { token } = await signIn(account.username, account.password)
      expect(summary(await edge.get("/profile", { token }))).toBe("200/0")
    })

    it("the same key bans once and answers the same; another body under it is 422/521", async () => {
      const account = await newAccount()
      const path = `/admin/users/${account.id}/ban`
      const key = randomUUID()
      const ban = (reason: string) => edge.post(path, { reason }, { token: admin.token, key })
      const first = await ban("spam")
      expect(summary(first)).toBe("200/0")
      const second = await ban("spam")
      expect(second.headers.get("idempotent-replayed")).toBe("true")
      expect(second.data).toEqual(first.data)
      expect(summary(await ban("something else"))).toBe("422/521")
    })

    it("nobody without the permission bans, changes roles, reads accounts or the audit trail", async () => {
      const { id, token } = await newAccount()
      const operator = await edge.demo("operator")
      const risk = await edge.demo("risk")
      const refusals = await Promise.all([
        edge.post(`/admin/users/${id}/ban`, { reason: "x" }, { token }),
        edge.post(`/admin/users/${id}/roles`, { reason: "x", roles: ["admin"] }, { token }),
        edge.get("/admin/users", { token }),
        edge.get("/admin/audit", { token }),
        edge.post(`/admin/users/${id}/ban`, { reason: "x" }, { token: operator.token }),
        edge.post(
          `/admin/users/${operator.id}/roles`,
          { reason: "x", roles: ["admin"] },
          { token: operator.token },
        ),
        edge.post(`/admin/users/${risk.id}/roles`, { reason: "x", roles: ["admin"] }, { token: risk.token }),
        edge.post("/admin/keys/rotate", { reason: "x" }, { token: risk.token }),
      ])
      expect(refusals.map(summary)).toEqual(refusals.map(() => "403/403"))
    })
  })

  it("new roles take effect at the next refresh, and the token with the old ones is refused", async () => {
    const account = await newAccount()
    const product = () => ({
      name: `product ${randomUUID()}`,
      price: 100,
      stock: 1,
      start_time: new Date(Date.now() + 60_000).toISOString(),
    })
    expect(summary(await edge.post("/products", product(), { token: account.token }))).toBe("403/403")
    const { version } = await userOf(account.id, admin.token)
    const promoted = await administer(`/admin/users/${account.id}/roles`, {
      roles: ["customer", "operator"],
      reason: "joins the team",
      version,
    })
    expect([...promoted.roles].sort()).toEqual(["customer", "operator"])
    expect(await untilAnswered(account.token, "401/401")).toBeLessThan(inForceMs())

    const session = await refreshed(account.refresh)
    expect(summary(session)).toBe("200/0")
    expect([...session.data.user.roles].sort()).toEqual(["customer", "operator"])
    const token = session.data.access_token
    expect(summary(await edge.post("/products", product(), { token }))).toBe("201/0")

    await administer(`/admin/users/${account.id}/roles`, {
      roles: ["customer"],
      reason: "leaves the team",
      version: promoted.version,
    })
    expect(await untilAnswered(token, "401/401")).toBeLessThan(inForceMs())
  })

  it("the audit trail shows a ban, a role change and a publish: who, what, why, and sealed", async () => {
    const account = await newAccount()
    const reason = `because ${randomUUID()}`
    await administer(`/admin/users/${account.id}/ban`, { reason })
    await administer(`/admin/users/${account.id}/unban`, { reason })
    await administer(`/admin/users/${account.id}/roles`, { reason, roles: ["customer", "finance"] })
    const operator = await edge.demo("operator")
    const product = await edge.ask(
      "/products",
      {
        name: `p ${randomUUID()}`,
        price: 100,
        stock: 1,
        start_time: new Date(Date.now() + 60_000).toISOString(),
      },
      { token: operator.token },
    )
    const auditor = await edge.demo("auditor")
    const trail = async (query: string) => {
      const answer = await edge.get(`/admin/audit?${query}`, { token: auditor.token })
      expect(summary(answer)).toBe("200/0")
      return answer.data.items as Array<any>
    }
    const target = `target=user:${account.id}`

    const sealed = await poll("the entries are sealed", async () => {
      const entries = (await trail(target)).filter((entry) => entry.reason === reason)
      return entries.length === 3 && entries.every((entry) => entry.hash !== null) && entries
    })
    for (const entry of sealed) {
      expect(entry).toMatchObject({
        service: "identity",
        actor_id: admin.id,
        actor_name: "admin",
        target_type: "user",
        target_id: String(account.id),
        trace_id: expect.stringMatching(/^[0-9a-f]{32}$/),
        hash: expect.stringMatching(/^[0-9a-f]{64}$/),
      })
    }
    expect(sealed.map((entry) => entry.action)).toContain("user.ban")
    const times = sealed.map((entry) => entry.at)
    expect(times).toEqual([...times].sort().reverse())
    expect((await trail(`${target}&action=user.ban`)).map((entry) => entry.action)).toEqual(["user.ban"])

    const published = await trail(`target=product:${product.id}&actor=${operator.id}`)
    expect(published.length).toBeGreaterThan(0)
    expect(published[0]).toMatchObject({ service: "inventory", actor_name: "operator" })

    // Page by page, nothing is lost or shown twice.
    const whole = (await trail(`actor=${admin.id}&limit=100`)).map((entry) => entry.id)
    const paged: Array<string> = []
    for (let cursor: string | null = ""; cursor !== null && paged.length < whole.length; ) {
      const query: string = `actor=${admin.id}&limit=2${cursor === "" ? "" : `&cursor=${cursor}`}`
      const { data: page } = await edge.get(`/admin/audit?${query}`, { token: auditor.token })
      paged.push(...page.items.map((entry: { id: string }) => entry.id))
      cursor = page.next_cursor
    }
    expect(paged.slice(0, whole.length)).toEqual(whole)

    const csv = await fetch(`${edge.url}/admin/audit?${target}&format=csv`, {
      headers: { authorization: `Bearer ${auditor.token}` },
    })
    expect(csv.headers.get("content-type")).toContain("text/csv")
    const lines = (await csv.text()).trimEnd().split("\r\n")
    expect(lines[0]).toContain("id,at,service,actor_id")
    expect(lines.filter((line) => line.includes(reason))).toHaveLength(3)
  })

  it("export has what is kept; erasing leaves the orders, without a name", async () => {
    const account = await newAccount()
    const product = await edge.publish()
    const { order_num } = await edge.ask("/seckill", { product_id: product.id }, { token: account.token })
    await edge.settled(order_num, account.token, "unpaid")

    const exported = await edge.get("/profile/export", { token: account.token })
    expect(summary(exported)).toBe("200/0")
    expect(exported.data.orders).toEqual([expect.objectContaining({ order_num, user_id: account.id })])
    expect(exported.data.orders_next_cursor).toBeNull()
    expect(JSON.stringify(exported.data.account)).toContain(account.username)
    expect(JSON.stringify(exported.data)).not.toContain("argon2")

    await edge.ask(`/orders/${order_num}/cancel`, {}, { token: account.token })
    await edge.settled(order_num, account.token, "cancelled")
    const erase = (password: string) =>
      edge.call("DELETE", "/profile", { body: { password }, token: account.token })
    expect(summary(await erase("not the password"))).toBe("401/502")
    expect(summary(await erase(account.password))).toBe("200/0")
    expect(await untilAnswered(account.token, "401/401")).toBeLessThan(inForceMs())
    expect(summary(await refreshed(account.refresh))).toBe("401/401")
    const login = await edge.post("/login", { username: account.username, password: account.password })
    expect(summary(login)).toBe("401/502")

    expect(await userOf(account.id, admin.token)).toMatchObject({
      id: account.id,
      username: null,
      state: "erased",
    })
    const [orders] = await ledgers.mysql.execute(
      "SELECT * FROM ordering.`order` WHERE order_num = ? AND user_id = ?",
      [order_num, account.id],
    )
    expect(orders).toHaveLength(1)
    expect(JSON.stringify(orders)).not.toContain(account.username)
    const [users] = await ledgers.mysql.execute("SELECT * FROM identity.user WHERE id = ?", [account.id])
    expect(JSON.stringify(users)).not.toContain(account.username)
    const trail = await edge.get(`/admin/audit?target=user:${account.id}`, { token: admin.token })
    expect(summary(trail)).toBe("200/0")
    expect(JSON.stringify(trail.data)).not.toContain(account.username)
  })

  it("rotating the signing key during traffic refuses no good token", async () => {
    const accounts = await inParallel(2, Array.from({ length: 8 }), () => newAccount())
    const kidOf = (token: string): string =>
      JSON.parse(Buffer.from(token.split(".")[0]!, "base64url").toString("utf8")).kid
    const key = await administer("/admin/keys/rotate", { reason: "a test of rotation" })
    const signsFromMs = Date.parse(key.signs_from)
    // While one waits to sign, there is no second one.
    expect((await administer("/admin/keys/rotate", { reason: "once more" })).kid).toBe(key.kid)
    const jwks = (await (await fetch(`${edge.url}/.well-known/jwks.json`)).json()) as {
      keys: Array<{ kid: string }>
    }
    expect(jwks.keys.length).toBeGreaterThan(0)

    // Not started yet: every request goes all the way to Redis, and none makes an order.
    const operator = await edge.demo("operator")
    const product = await edge.ask(
      "/products",
      {
        name: `p ${randomUUID()}`,
        price: 100,
        stock: 1,
        start_time: new Date(Date.now() + 3_600_000).toISOString(),
      },
      { token: operator.token },
    )
    const answers = new Map<string, number>()
    const kids = new Set<string>()
    const count = (answer: Answer) => answers.set(summary(answer), (answers.get(summary(answer)) ?? 0) + 1)
    const beganMs = Date.now()
    const endMs = signsFromMs + 5_000
    await inParallel(accounts.length, accounts, async (account) => {
      let { refresh, token } = account
      while (Date.now() < endMs) {
        kids.add(kidOf(token))
        count(await edge.get("/profile", { token }))
        const burst = Array.from({ length: BURST }, (_, i) =>
          (i % 2 === 0 ? edge : other).post("/seckill", { product_id: product.id }, { token }),
        )
        for (const answer of await Promise.all(burst)) count(answer)
        const next = await refreshed(refresh)
        expect(summary(next)).toBe("200/0")
        token = next.data.access_token
        refresh = next.data.refresh_token
      }
    })
    const summaries = Object.fromEntries(answers)
    const requests = [...answers.values()].reduce((sum, n) => sum + n, 0)
    const perSecond = Math.round((requests * 1000) / (Date.now() - beganMs))
    process.stderr.write(
      `key rotation under ${requests} requests, ${perSecond}/s: ${JSON.stringify([...answers])}\n`,
    )
    // Where the machine is too small for the crowd, "busy" is an honest answer; "not signed in" never is.
    expect(
      Object.keys(summaries).filter((answer) => !["200/0", "409/512", "503/530"].includes(answer)),
    ).toEqual([])
    expect((summaries["200/0"] ?? 0) + (summaries["409/512"] ?? 0)).toBeGreaterThan(0.9 * requests)
    expect(kids).toContain(key.kid)
    expect(kids.size).toBeGreaterThan(1)
  }, 240_000)

  it("browsers are told what an answer is not; a foreign origin may not read it", async () => {
    const answer = await fetch(`${edge.url}/products`, { headers: { origin: "https://evil.example" } })
    expect(answer.headers.get("x-content-type-options")).toBe("nosniff")
    expect(answer.headers.get("content-security-policy")).toContain("default-src 'none'")
    expect(answer.headers.get("referrer-policy")).toBe("no-referrer")
    expect(answer.headers.get("access-control-allow-origin")).toBeNull()
  })
})
