/** Many buyers who click at once and don't give up while the answer is "busy". */
import { randomUUID } from "node:crypto"
import * as http from "node:http"
import { setTimeout as sleep } from "node:timers/promises"
import type { Buyer } from "./Buyers.ts"

/** What the buyers were told so far. */
export interface Tally {
  /** Requests sent, repeats included. */
  asked: number
  accepted: number
  soldOut: number
  /** "Busy, try again", refused connections and limits; each was followed by a repeat. */
  again: number
  /** Final answers other than 202 and 510, by code. */
  readonly other: Map<number, number>
  /** Buyers who ran out of time without a final answer. */
  gaveUp: number
  /** order_num by buyer. */
  readonly orders: Map<number, string>
  /** Milliseconds from the click to each final answer. */
  readonly latencies: Array<number>
}

export const emptyTally = (): Tally => ({
  asked: 0,
  accepted: 0,
  soldOut: 0,
  again: 0,
  other: new Map(),
  gaveUp: 0,
  orders: new Map(),
  latencies: [],
})

interface Reply {
  readonly code: number
  readonly order_num: string | undefined
  readonly retryAfterMs: number | undefined
}

/** One answer must come within this time; the edge promises 800 ms. */
const requestMs = 5000

const post = (base: URL, agent: http.Agent, headers: Record<string, string>, body: string): Promise<Reply> =>
  new Promise((resolve, reject) => {
    const request = http.request(
      new URL("/seckill", base),
      {
        method: "POST",
        agent,
        timeout: requestMs,
        headers: {
          "content-type": "application/json",
          "content-length": Buffer.byteLength(body),
          ...headers,
        },
      },
      (response) => {
        let text = ""
        response.on("data", (chunk) => {
          text += chunk
        })
        response.once("error", reject)
        response.once("end", () => {
          try {
            const { code, data } = JSON.parse(text) as { code: number; data: { order_num?: string } | null }
            const seconds = Number(response.headers["retry-after"])
            resolve({
              code,
              order_num: data?.order_num,
              retryAfterMs: Number.isFinite(seconds) ? seconds * 1000 : undefined,
            })
          } catch {
            reject(new Error(`${response.statusCode} without an envelope: ${text.slice(0, 100)}`))
          }
        })
      },
    )
    request.once("timeout", () => request.destroy(new Error("no answer in time")))
    request.once("error", reject)
    request.end(body)
  })

/** 512 not started yet; 429, 702, 705 limits; 530 busy. Each means "later". */
const laterCodes = new Set([429, 512, 530, 702, 705])

/**
 * Every buyer clicks once, at once, with a key of their own, and repeats the same click while the answer is "later".
 * One address each, as a crowd has (the edge trusts loopback's X-Forwarded-For in dev). Returns when all are done.
 */
export const click = async (options: {
  readonly edge: string
  readonly productId: number
  readonly buyers: ReadonlyArray<Buyer>
  readonly tally: Tally
  /** A buyer gives up after this long. */
  readonly patienceMs: number
}): Promise<void> => {
  const { edge, productId, buyers, tally, patienceMs } = options
  const base = new URL(edge)
  const agent = new http.Agent({ keepAlive: true, maxSockets: 256 })
  const body = JSON.stringify({ product_id: productId })
  const began = Date.now()

  const one = async (buyer: Buyer): Promise<void> => {
    const headers = {
      authorization: `Bearer ${buyer.token}`,
      "idempotency-key": randomUUID(),
      "x-device-id": `rush-${buyer.id}`,
      "x-forwarded-for": `10.${(buyer.id >> 16) & 255}.${(buyer.id >> 8) & 255}.${buyer.id & 255}`,
    }
    for (let attempt = 0; ; attempt++) {
      tally.asked++
      let waitMs = Math.min(2000, 50 * 2 ** attempt)
      try {
        const { code, order_num, retryAfterMs } = await post(base, agent, headers, body)
        if (!laterCodes.has(code)) {
          tally.latencies.push(Date.now() - began)
          if (code === 0 && order_num !== undefined) {
            tally.accepted++
            tally.orders.set(buyer.id, order_num)
          } else if (code === 510) tally.soldOut++
          else tally.other.set(code, (tally.other.get(code) ?? 0) + 1)
          return
        }
        waitMs = Math.max(waitMs, retryAfterMs ?? 0)
      } catch {
        // The connection broke or nobody answered: the same click again, under the same key.
      }
      tally.again++
      if (Date.now() - began > patienceMs) {
        tally.gaveUp++
        return
      }
      await sleep(waitMs * (0.5 + Math.random() / 2))
    }
  }

  try {
    await Promise.all(buyers.map(one))
  } finally {
    agent.destroy()
  }
}
