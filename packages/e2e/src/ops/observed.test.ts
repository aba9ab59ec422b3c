/** What people see of a sale: every panel of every dashboard, every alert's rule, and an alert that comes and goes. */
import { randomUUID } from "node:crypto"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { Edge, patiently } from "../support/Edge.ts"
import { inParallel, poll } from "../support/Poll.ts"
import { freeBase, Stack } from "../support/Stack.ts"
import { Watchers } from "./Watchers.ts"

const data = await mkdtemp(join(tmpdir(), "floodgate-ops-"))
const stack = new Stack(data, await freeBase(1))
const edge = new Edge(stack.url)
const watchers = new Watchers(
  `http://127.0.0.1:${stack.port("prometheus")}`,
  `http://127.0.0.1:${stack.port("alertmanager")}`,
)

interface Query {
  readonly dashboard: string
  readonly panel: string
  readonly expr: string
}

const source = new URL("../../../../ops/grafana/src/dashboards.mjs", import.meta.url).href
const { queries } = (await import(/* @vite-ignore */ source)) as {
  readonly queries: () => ReadonlyArray<Query>
}

/** Graphs show what has been since the stack is up. */
const GRAPH_S = 300

/** A panel shows something where any of its series has a number: a quantile of nothing is NaN. */
const showsSomething = async ({ expr }: Query): Promise<boolean> =>
  (await watchers.graph(expr, GRAPH_S)).some(({ values }) =>
    values.some(([, value]) => Number.isFinite(Number(value))),
  )

/** The panel of alerts shows something only while one fires: its turn comes when one does. */
const isAboutAlerts = ({ expr }: Query) => expr.includes("ALERTS")

/** As `edge.ask`, under one key for all tries. */
const ask = (path: string, body: unknown, token: string): Promise<any> => {
  const key = randomUUID()
  return patiently(path, () => edge.ask(path, body, { token, key }))
}

/** A sale in small: some get a piece and pay, by either channel, some change their minds, some come too late. */
const sale = async (): Promise<void> => {
  const product = await patiently("publish", () => edge.publish({ stock: 4, price: 500 }))
  const alice = await patiently("alice", () => edge.demo("alice"))
  const newcomers = await inParallel(2, Array.from({ length: 6 }), () =>
    patiently("a newcomer", () => edge.newcomer()),
  )
  for (const [at, { token }] of [alice, ...newcomers].entries()) {
    const key = randomUUID()
    const answer = await poll("the wish is answered", async () => {
      const said = await edge.post("/seckill", { product_id: product.id }, { token, key })
      return said.status < 500 && said
    })
    if (answer.status !== 202) continue
    const { order_num } = answer.data
    await edge.settled(order_num, token, "unpaid")
    if (at === 3) {
      await ask(`/orders/${order_num}/cancel`, {}, token)
      continue
    }
    const channel = at === 0 ? "balance" : "sandbox"
    const payment = await ask(`/orders/${order_num}/pay`, { channel }, token)
    if (channel === "sandbox") await fetch(`${payment.pay_url}/succeed`, { method: "POST" })
    await edge.settled(order_num, token, "paid")
  }
}

beforeAll(() => stack.up(["--observe"]), 900_000)
afterAll(async () => {
  await stack.down()
  await rm(data, { recursive: true, force: true })
})

describe("a stack that is watched", () => {
  it("shows something of a sale in every panel of every dashboard", async () => {
    // What was counted before a process was first asked has no beginning, and a graph of it no slope.
    await poll("everybody has been asked once", () => watchers.everybodyIsUp(), 120_000)
    await sale()
    let silent = queries().filter((query) => !isAboutAlerts(query))
    expect(silent.length).toBeGreaterThan(70)
    await poll(
      "every panel shows something",
      async () => {
        const shown = await inParallel(4, silent, showsSomething)
        silent = silent.filter((_, i) => !shown[i])
        return silent.length === 0
      },
      120_000,
    ).catch((error: Error) => {
      throw silent.length === 0 ? error : new Error(`these show nothing: ${JSON.stringify(silent, null, 2)}`)
    })
  }, 300_000)

  it("evaluates every rule without an error", async () => {
    const rules = await poll("every rule has been evaluated", async () => {
      const all = await watchers.rules()
      return all.every(({ health }) => health !== "unknown") && all
    })
    expect(rules.filter(({ type }) => type === "alerting").length).toBeGreaterThan(25)
    for (const { health, lastError, name } of rules) {
      expect({ name, health, lastError: lastError ?? "" }).toEqual({ name, health: "ok", lastError: "" })
    }
  })
})

describe("Redis is away for a minute", () => {
  const AWAY_MS = 60_000
  /** Buyers don't stop asking because it is away; a quarter of a second between two is a very small sale. */
  const EVERY_MS = 250

  let asking = true
  let buyers: Promise<void>
  beforeAll(async () => {
    const product = await patiently("publish", () => edge.publish({ stock: 1000 }))
    const { token } = await patiently("a newcomer", () => edge.newcomer())
    buyers = (async () => {
      while (asking) {
        await edge
          .post("/seckill", { product_id: product.id }, { token, key: randomUUID(), timeoutMs: 5_000 })
          .catch(() => undefined)
        await sleep(EVERY_MS)
      }
    })()
  })
  afterAll(async () => {
    asking = false
    await buyers
    await stack.restart("redis")
  })

  it("somebody is paged, the dashboard shows it, and its return ends it", async () => {
    // A start that took long may have been told of.
    await poll("nothing is wrong", async () => (await watchers.held("RedisFailing")).length === 0, 180_000)
    const since = Date.now()
    await stack.stop("redis")
    const paged = await poll(
      "RedisFailing has reached Alertmanager",
      async () => {
        const held = await watchers.held("RedisFailing")
        return held.length > 0 && held
      },
      AWAY_MS + 30_000,
    )
    for (const { annotations, labels, receivers, startsAt, status } of paged) {
      expect(Date.parse(startsAt)).toBeGreaterThan(since)
      expect(labels).toMatchObject({ severity: "page", system: "floodgate" })
      expect(annotations["summary"]).toMatch(/can't use Redis/)
      expect(receivers).toEqual([{ name: "pager" }])
      expect(status.state).not.toBe("suppressed")
    }
    const panel = queries().find(isAboutAlerts)!
    await poll("the panel of alerts shows it", () => showsSomething(panel), 30_000)

    await sleep(Math.max(0, since + AWAY_MS - Date.now()))
    await stack.restart("redis")
    await poll(
      "it is over in Alertmanager",
      async () => (await watchers.held("RedisFailing")).length === 0,
      180_000,
    )
    const rule = (await watchers.rules()).find(({ name }) => name === "RedisFailing")
    expect(rule?.state).toBe("inactive")
    // And the sale goes on.
    await sale()
  }, 600_000)
})
