/** What the processes show of a sale, and how the engine finds what they ask it for. */
import { randomUUID } from "node:crypto"
import { readFile } from "node:fs/promises"
import { fileURLToPath } from "node:url"
import * as Ports from "@floodgate/runtime/config/Ports"
import * as mysql from "mysql2/promise"
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest"
import { Edge, patiently } from "./support/Edge.ts"
import { inParallel, poll } from "./support/Poll.ts"
import { Stack } from "./support/Stack.ts"

const { data, portBase } = inject("stack")
const stack = new Stack(data, portBase)
const edge = new Edge(stack.url)

const SERVICES = ["edge", "identity", "inventory", "ordering", "payment"] as const
type Service = (typeof SERVICES)[number]

const publish = (fields: Readonly<Record<string, unknown>>) =>
  patiently("publish", () => edge.publish(fields))

/** As `edge.ask`, under one key for all tries. */
const ask = (path: string, body: unknown, token: string) => {
  const key = randomUUID()
  return patiently(path, () => edge.ask(path, body, { token, key }))
}

/** A process's series by their names with labels. */
type Scrape = ReadonlyMap<string, number>

const parse = (text: string): Scrape =>
  new Map(
    text
      .split("\n")
      .filter((line) => line !== "" && !line.startsWith("#"))
      .map((line) => {
        const at = line.lastIndexOf(" ")
        return [line.slice(0, at), Number(line.slice(at + 1))] as const
      }),
  )

const scrape = async (service: Service, instance = 1): Promise<Scrape> => {
  const port = Ports.portOf(portBase, `${service}Ops`, instance)
  const response = await fetch(`http://127.0.0.1:${port}/metrics`, { signal: AbortSignal.timeout(10_000) })
  expect(response.status).toBe(200)
  return parse(await response.text())
}

/** Every process of the stack: it has two edges. */
const scrapeAll = async () => [
  ...(await Promise.all(SERVICES.map(async (service) => ({ service, series: await scrape(service) })))),
  { service: "edge" as const, series: await scrape("edge", 2) },
]

/** The sum over all processes of the series of a family whose labels say this. */
const total = (
  scrapes: ReadonlyArray<{ readonly series: Scrape }>,
  family: string,
  labels: Readonly<Record<string, string>> = {},
): number => {
  let sum = 0
  for (const { series } of scrapes) {
    for (const [name, value] of series) {
      if (name !== family && !name.startsWith(`${family}{`)) continue
      if (Object.entries(labels).every(([label, value]) => name.includes(`${label}="${value}"`))) sum += value
    }
  }
  return sum
}

/** The families of docs/metrics.md with the processes that show them. */
const catalogue = async () => {
  const page = await readFile(fileURLToPath(new URL("../../../docs/metrics.md", import.meta.url)), "utf8")
  return page
    .split(/^## /m)
    .slice(1)
    .flatMap((section) => {
      const [title = "", ...lines] = section.split("\n")
      const where = title === "Every process" ? SERVICES : (title.split(", ") as ReadonlyArray<Service>)
      return lines.flatMap((line) => {
        const [, name, type] = /^\| `(\w+)` \| (\w+) \|/.exec(line) ?? []
        return name === undefined ? [] : [{ name, type, where }]
      })
    })
}

describe("metrics", () => {
  it("every family of the catalogue is shown by every process that it names, and no other family is", async () => {
    const families = await catalogue()
    expect(families.length).toBeGreaterThan(80)
    for (const { series, service } of await scrapeAll()) {
      const shown = new Set([...series.keys()].map((name) => name.replace(/\{.*/, "")))
      const expected = families.filter(({ where }) => where.includes(service))
      const missing = expected
        .filter(({ name, type }) => !shown.has(type === "histogram" ? `${name}_count` : name))
        .map(({ name }) => name)
      expect(missing, service).toEqual([])
      const known = new Set(
        expected.flatMap(({ name, type }) =>
          type === "histogram" ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name],
        ),
      )
      const unknown = [...shown].filter((name) => name.startsWith("floodgate_") && !known.has(name))
      expect(unknown, service).toEqual([])
    }
  })

  it("the funnel of a small sale adds up across the processes", async () => {
    const product = await publish({ stock: 3, price: 500 })
    const buyers = await inParallel(2, Array.from({ length: 5 }), () =>
      patiently("a newcomer", () => edge.newcomer()),
    )
    const before = await scrapeAll()

    const accepted: Array<{ readonly token: string; readonly order_num: string }> = []
    let asked = 0
    let made = 0
    for (const { token } of buyers) {
      const key = randomUUID()
      // A busy machine says so, and is asked again with the same key.
      const answer = await poll("the wish is answered", async () => {
        asked++
        const said = await edge.post("/seckill", { product_id: product.id }, { token, key })
        return said.status === 503 ? undefined : said
      })
      if (answer.status !== 202) expect(answer.code).toBe(510)
      else {
        accepted.push({ token, order_num: answer.data.order_num })
        if (answer.headers.get("idempotent-replayed") === null) made++
      }
    }
    expect(accepted).toHaveLength(3)
    for (const { order_num, token } of accepted) await edge.settled(order_num, token, "unpaid")
    const [first, second, third] = accepted as [
      (typeof accepted)[0],
      (typeof accepted)[0],
      (typeof accepted)[0],
    ]
    for (const { order_num, token } of [first, second]) {
      await ask(`/orders/${order_num}/pay`, { channel: "sandbox" }, token)
    }
    await ask(`/orders/${third.order_num}/cancel`, {}, third.token)

    const expected = {
      asked,
      accepted: made,
      sold_out: 2,
      limited: 0,
      persisted: 3,
      rejected: 0,
      cancelled: 1,
    }
    const grown = (after: Awaited<ReturnType<typeof scrapeAll>>, family: string, labels = {}) =>
      total(after, family, labels) - total(before, family, labels)
    const after = await poll("the funnel shows the sale", async () => {
      const now = await scrapeAll()
      const counts = Object.fromEntries(
        Object.keys(expected).map((step) => [step, grown(now, "floodgate_sale_total", { step })]),
      )
      return JSON.stringify(counts) === JSON.stringify(expected) ? now : undefined
    })

    expect(grown(after, "floodgate_http_requests_total", { route: "/seckill", status: "2xx" })).toBe(3)
    expect(grown(after, "floodgate_http_request_seconds_count", { route: "/seckill" })).toBe(asked)
    expect(grown(after, "floodgate_stock_checks_total", { result: "hit" })).toBe(made)
    expect(grown(after, "floodgate_stock_checks_total", { result: "miss" })).toBe(2)
    expect(grown(after, "floodgate_reserve_outcomes_total", { code: "reserved" })).toBe(3)
    expect(grown(after, "floodgate_order_commit_seconds_count")).toBe(3)
    expect(grown(after, "floodgate_relay_produced_total", { reason: "new" })).toBe(3)
    expect(
      grown(after, "floodgate_bus_consumed_messages_total", { group: "order-worker" }),
    ).toBeGreaterThanOrEqual(3)
    expect(
      grown(after, "floodgate_grpc_server_seconds_count", { method: "ReserveBatch", status: "OK" }),
    ).toBeGreaterThanOrEqual(3)
    expect(grown(after, "floodgate_redis_command_seconds_count", { op: "reserve" })).toBeGreaterThanOrEqual(3)
    expect(
      grown(after, "floodgate_mysql_query_seconds_count", { op: "orders.create" }),
    ).toBeGreaterThanOrEqual(1)
    // What is open is gone once it is decided.
    await poll("the streams are empty again", async () => {
      const now = await scrapeAll()
      return total(now, "floodgate_relay_deleted_total") - total(before, "floodgate_relay_deleted_total") >= 3
    })
    await poll("the group has been sampled, and is not behind", async () => {
      const ordering = await scrape("ordering")
      const worker = [...ordering].filter(([name]) => name.includes('group="order-worker"'))
      const lag = worker.find(([name]) => name.startsWith("floodgate_bus_lag_messages"))
      const members = worker.find(([name]) => name.startsWith("floodgate_bus_group_members"))
      return lag?.[1] === 0 && members?.[1] === 1
    })
  })

  it("a process that has just begun shows zero for what hasn't happened yet", async () => {
    await stack.restart("payment")
    const series = await scrape("payment")
    for (const name of [
      'floodgate_payment_callbacks_total{channel="sandbox",result="accepted"}',
      'floodgate_refunds_total{channel="balance",result="failed"}',
      'floodgate_webhook_deliveries_total{result="given_up"}',
      'floodgate_mysql_errors_total{kind="defect"}',
      'floodgate_retries_total{target="ordering"}',
      'floodgate_grpc_server_seconds_count{service="floodgate.payment.v1.PaymentService",method="AcceptCallback",status="INTERNAL"}',
      'floodgate_bus_publish_failures_total{topic="payment.events"}',
    ]) {
      expect(series.get(name), name).toBe(0)
    }
  })
})

/**
 * Statements that every sale runs, by words of theirs: that they were seen is what makes the test below one of them and
 * not of nothing.
 */
const HOT: Readonly<Record<Exclude<Service, "edge">, ReadonlyArray<string>>> = {
  identity: ["INSERT INTO refresh_family", "FROM wallet", "wallet_entry"],
  inventory: ["FROM product", "outbox"],
  ordering: [
    "INSERT INTO `order`",
    "JOIN `order` o FORCE INDEX (order_num)",
    "JOIN purchase b",
    "INSERT INTO purchase",
    "UPDATE `order`",
    "FROM outbox FORCE INDEX (unsent)",
    "expires_at <= UTC_TIMESTAMP(3)",
    "dead_letter",
  ],
  payment: [
    "order_gate",
    "INSERT INTO intent",
    "FROM intent",
    "capture",
    "provider_event",
    "FROM outbox FORCE INDEX",
  ],
}

/** Tables that are small by their nature: a handful of rows that are read as a whole, whatever the load. */
const SMALL = new Set([
  "outbox_lease",
  "audit_lease",
  "reconcile_lease",
  "recovery_lease",
  "reconcile_repair",
  "barrier",
  "signing_key",
  "limit_setting",
  "sale_switch",
  "webhook",
])

/**
 * The log shows a statement's values from its second execution on a connection on, and never that of a LIMIT. Any value
 * does for a plan: a text, because a number would keep the index of a text column from being used.
 */
const explainable = (statement: string): string =>
  statement
    .split(/('(?:[^'\\]|\\.|'')*')/)
    .map((part, i) =>
      i % 2 === 1
        ? part
        : part
            .replace(/\b(LIMIT|OFFSET) \?/gi, "$1 100")
            .replace(/JSON_TABLE\(\?/gi, "JSON_TABLE('[]'")
            .replace(/\?/g, "'1'"),
    )
    .join("")

interface PlanRow {
  readonly table: string | null
  readonly type: string | null
  readonly possible_keys: string | null
  readonly key: string | null
  readonly Extra: string | null
}

describe("every statement that a sale runs finds its rows by an index", () => {
  let admin: mysql.Connection
  beforeAll(async () => {
    const status = await stack.status()
    admin = await mysql.createConnection({ uri: status["mysql"]!.url!, supportBigNumbers: true })
    await admin.query("SET GLOBAL log_output = 'TABLE'")
    await admin.query("TRUNCATE mysql.general_log")
    await admin.query("SET GLOBAL general_log = ON")
  })
  afterAll(async () => {
    await admin.query("SET GLOBAL general_log = OFF")
    await admin.end()
  })

  it("by the plans of MariaDB for what it was sent while people bought, paid, cancelled and looked", async () => {
    const product = await publish({ stock: 20, price: 500 })
    const buyer = await patiently("a newcomer", () => edge.newcomer())
    const other = await patiently("a newcomer", () => edge.newcomer())
    const buy = async (token: string) => {
      const key = randomUUID()
      const order_num = await poll("the wish is accepted", async () => {
        const answer = await edge.post("/seckill", { product_id: product.id }, { token, key })
        return answer.status === 202 ? (answer.data.order_num as string) : undefined
      })
      await edge.settled(order_num, token, "unpaid")
      return order_num
    }
    const paid = await buy(buyer.token)
    await ask(`/orders/${paid}/pay`, { channel: "sandbox" }, buyer.token)
    const dropped = await buy(other.token)
    await ask(`/orders/${dropped}/cancel`, {}, other.token)
    const alice = await patiently("alice", () => edge.demo("alice"))
    const bought = await buy(alice.token)
    await ask(`/orders/${bought}/pay`, { channel: "balance" }, alice.token)
    await edge.settled(bought, alice.token, "paid")
    for (const path of ["/orders", "/wallet", "/wallet/entries", `/orders/${bought}`]) {
      await poll(path, async () => (await edge.get(path, { token: alice.token })).code === 0)
    }
    await edge.get("/products")

    const seen = new Map<string, { readonly database: string; readonly sql: string }>()
    await poll("every hot statement has been run", async () => {
      const [rows] = await admin.query<Array<mysql.RowDataPacket>>(
        "SELECT user_host, CONVERT(argument USING utf8mb4) AS statement FROM mysql.general_log WHERE command_type = 'Execute'",
      )
      for (const { statement, user_host } of rows) {
        const database = /^(\w+)\[/.exec(String(user_host))?.[1] ?? ""
        if (!(SERVICES as ReadonlyArray<string>).includes(database)) continue
        if (!/^\s*(SELECT|UPDATE|DELETE|INSERT)\b/i.test(statement)) continue
        // One of each shape.
        const shape = String(statement)
          .replace(/'(?:[^'\\]|\\.|'')*'/g, "?")
          .replace(/\b\d+\b/g, "?")
          .replace(/\s+/g, " ")
        const sql = explainable(String(statement))
        seen.set(`${database}: ${shape}`, { database, sql })
      }
      return Object.entries(HOT).every(([database, all]) =>
        all.every((words) =>
          [...seen.values()].some((one) => one.database === database && one.sql.includes(words)),
        ),
      )
    })
    await admin.query("SET GLOBAL general_log = OFF")

    const scans: Array<string> = []
    for (const [shape, { database, sql }] of seen) {
      await admin.query(`USE \`${database}\``)
      const [plan] = await admin.query<Array<mysql.RowDataPacket & PlanRow>>(`EXPLAIN ${sql}`)
      for (const { Extra, key, possible_keys, table, type } of plan) {
        // An engine scans a table of a few rows although it could do better; what counts is that it could.
        const scanned = (type === "ALL" || type === "index") && key === null && possible_keys === null
        const memory = table === null || table.startsWith("<") || /Table function/i.test(Extra ?? "")
        if (!scanned || memory) continue
        const real = new RegExp(
          `(?:FROM|JOIN|UPDATE|INTO)\\s+(?:\\w+\\.)?\`?(\\w+)\`?(?:\\s+(?:AS\\s+)?${table}\\b)`,
          "i",
        ).exec(sql)?.[1]
        if (SMALL.has(real ?? table) || (/^\s*INSERT/i.test(sql) && type === "ALL" && !/SELECT/i.test(sql)))
          continue
        scans.push(`${table} in ${shape.slice(0, 300)}`)
      }
    }
    expect(scans).toEqual([])
  })
})
