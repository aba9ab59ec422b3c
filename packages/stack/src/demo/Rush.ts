/**
 * `pnpm demo:rush`: a whole sale in half a minute. Real accounts, one product, everyone clicks at the same instant; at
 * the end the sums are read from MySQL and Redis. With `--fault redis` Redis is killed in the middle.
 */
import { setTimeout as sleep } from "node:timers/promises"
import { demoPassword } from "../Accounts.ts"
import { print, type Setting } from "../commands/Setting.ts"
import * as EdgeHttp from "../EdgeHttp.ts"
import * as Secrets from "../Secrets.ts"
import { StackError } from "../StackError.ts"
import * as Control from "../supervisor/Control.ts"
import type { Status } from "../supervisor/Status.ts"
import * as Buyers from "./Buyers.ts"
import * as Crowd from "./Crowd.ts"
import * as Verdict from "./Verdict.ts"

export interface RushOptions {
  readonly buyers: number
  readonly stock: number
  readonly fault: "redis" | undefined
}

const perUserLimit = 1

/** Time for the warm-up, and for people to read what is about to happen. */
const startsInMs = 4000

/** How long a buyer repeats a click: longer than a whole recovery takes. */
const patienceMs = 90_000

/** How long Redis stays down. */
const outageMs = 1000

/** How long the books may take to agree: invariant 3 gives every reservation 60 s. */
const restMs = 60_000

const urlOf = (status: Status, name: string): string => {
  const { state, url } = status[name] ?? {}
  if (url === undefined || state !== "ready") {
    throw new StackError(`The rush needs ${name}, which is ${state ?? "not part of this stack"}.`)
  }
  return url
}

/** A line that is rewritten in place at a terminal, and written once a second elsewhere. */
const live = (text: () => string): (() => void) => {
  const inPlace = process.stdout.isTTY === true
  const draw = () => (inPlace ? process.stdout.write(`\r\x1b[K${text()}`) : print(text()))
  const timer = setInterval(draw, inPlace ? 100 : 1000)
  return () => {
    clearInterval(timer)
    draw()
    if (inPlace) print()
  }
}

const percentile = (sorted: ReadonlyArray<number>, share: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0

/** Kills the stack's Redis once a third of the stock is gone, and brings it back. */
const breakRedis = async (
  dataDir: string,
  tally: Crowd.Tally,
  stock: number,
  over: () => boolean,
): Promise<boolean> => {
  while (tally.accepted < Math.max(1, stock / 3)) {
    if (over()) return false
    await sleep(2)
  }
  await Control.ask(dataDir, "POST", "/components/redis/kill", { timeoutMs: 30_000 })
  print(`\n  ! Redis killed after ${tally.accepted} acceptances`)
  await sleep(outageMs)
  await Control.ask(dataDir, "POST", "/components/redis/restart", { timeoutMs: 60_000 })
  print("\n  ! Redis is back; its shards are proved equal to MySQL before they sell again")
  return true
}

/** Runs the sale. Returns 0 when every sum holds, else 1. */
export const rush = async (setting: Setting, options: RushOptions): Promise<number> => {
  const { dataDir } = setting
  const status = (await Control.ask(dataDir, "GET", "/status")) as Status
  const edge = urlOf(status, "edge")
  const identity = urlOf(status, "identity").replace(/^grpc:\/\//, "")
  const mysqlUrl = urlOf(status, "mysql")
  const redisUrl = urlOf(status, "redis")

  let gathered = 0
  const endGathering = live(() => `  ${gathered} of ${options.buyers} buyers signed in`)
  const buyers = await Buyers.gather({
    dataDir,
    identity,
    serviceKey: Secrets.serviceKey(Secrets.load(dataDir)),
    count: options.buyers,
    progress: (ready) => {
      gathered = ready
    },
  }).finally(endGathering)

  const operator = await EdgeHttp.login(edge, "operator", demoPassword("operator"))
  const startMs = Date.now() + startsInMs
  const product = await EdgeHttp.ask<{ id: number }>(edge, "/products", {
    token: operator.access_token,
    body: {
      name: `Rush of ${new Date(startMs).toISOString().slice(0, 19)}`,
      price: 9900,
      stock: options.stock,
      per_user_limit: perUserLimit,
      start_time: new Date(startMs).toISOString(),
      end_time: new Date(startMs + 600_000).toISOString(),
    },
  })
  print(`  Product ${product.id}: ${options.stock} pieces, one to a customer; ${options.buyers} buyers wait`)
  await sleep(Math.max(0, startMs - Date.now()))

  const tally = Crowd.emptyTally()
  let over = false
  const began = Date.now()
  const endLive = live(
    () =>
      `  ${((Date.now() - began) / 1000).toFixed(1)} s: ${tally.asked} clicks, ${tally.accepted} accepted, ${tally.soldOut} sold out, ${tally.again} told to try again`,
  )
  const [, broken] = await Promise.all([
    Crowd.click({ edge, productId: product.id, buyers, tally, patienceMs }).finally(() => {
      over = true
    }),
    options.fault === undefined ? false : breakRedis(dataDir, tally, options.stock, () => over),
  ]).finally(endLive)
  const tookMs = Date.now() - began
  const latencies = [...tally.latencies].sort((a, b) => a - b)
  print(
    `  ${buyers.length} answers in ${(tookMs / 1000).toFixed(1)} s (${Math.round((tally.asked / Math.max(1, tookMs)) * 1000)} clicks/s); from the opening to one's answer: median ${percentile(latencies, 0.5)} ms, p99 ${percentile(latencies, 0.99)} ms`,
  )
  if (options.fault !== undefined && !broken) {
    print("  The sale was over before Redis could be killed: more --buyers, or more --stock.")
  }

  const books = await Verdict.atRest({ mysqlUrl, redisUrl, productId: product.id, tally, patienceMs: restMs })
  const findings = Verdict.judge({
    books,
    tally,
    buyers: options.buyers,
    stock: options.stock,
    perUserLimit,
    faulty: options.fault !== undefined,
  })
  print()
  for (const { holds, text } of findings) print(`  ${holds ? "✓" : "✗"} ${text}`)
  const broke = findings.filter(({ holds }) => !holds).length
  print(broke === 0 ? "\n  Every sum holds." : `\n  ${broke} of ${findings.length} sums DON'T hold.`)
  return broke === 0 ? 0 : 1
}
