/** Services that are told to go in a burst. The other faults are rows of the fault suite. */
import { randomUUID } from "node:crypto"
import { setTimeout as sleep } from "node:timers/promises"
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest"
import { atRest, Ledgers, violations } from "./support/Books.ts"
import { Edge } from "./support/Edge.ts"
import { inParallel, poll } from "./support/Poll.ts"
import { Stack } from "./support/Stack.ts"

const { data, portBase } = inject("stack")
const stack = new Stack(data, portBase)
const edge = new Edge(stack.url)

describe("faults in a sale", () => {
  let ledgers: Ledgers
  let buyers: ReadonlyArray<{ token: string; id: number }>
  beforeAll(async () => {
    const status = await stack.status()
    ledgers = new Ledgers({ mysql: status["mysql"]!.url!, redis: status["redis"]!.url! })
    buyers = await inParallel(4, Array.from({ length: 100 }), () => edge.newcomer())
  }, 300_000)
  afterAll(() => ledgers?.close())

  const settle = (productId: number) =>
    poll(
      "nothing is under way",
      async () => {
        const books = await ledgers.books(productId)
        return atRest(books) && books
      },
      120_000,
    )

  /** Buyers keep asking, in turn, until told to stop; what each was promised. */
  const crowd = (productId: number, pauseMs = 400) => {
    const promised: Array<{ order_num: string; token: string }> = []
    const refused = new Map<number, number>()
    let asking = true
    const lane = async (first: number) => {
      for (let i = first; asking && i < buyers.length; i += 4) {
        const { token } = buyers[i]!
        const key = randomUUID()
        // As our clients do: the same wish again under the same key, until there is a definite answer.
        for (let attempt = 0; attempt < 20; attempt++) {
          const answer = await edge
            .post("/seckill", { product_id: productId }, { token, key })
            .catch(() => undefined)
          if (answer?.status === 202) {
            promised.push({ order_num: answer.data.order_num, token })
            break
          }
          refused.set(answer?.code ?? 0, (refused.get(answer?.code ?? 0) ?? 0) + 1)
          if (answer !== undefined && answer.status < 500) break
          await sleep(250)
        }
        await sleep(pauseMs)
      }
    }
    const done = Promise.all([0, 1, 2, 3].map(lane))
    return {
      promised,
      refused,
      stop: async () => {
        asking = false
        await done
      },
      done,
    }
  }

  it.each(["edge", "inventory", "ordering", "payment", "identity"] as const)(
    "%s told to stop in a burst: it leaves with code 0, and nothing that was promised is lost",
    async (service) => {
      const product = await edge.publish({ stock: buyers.length, price: 10 })
      const asking = crowd(product.id)
      await poll("the first reservations", async () => asking.promised.length >= 8)
      await stack.stop(service)
      expect((await stack.status())[service]).toMatchObject({
        state: "stopped",
        last_exit: expect.stringMatching(/\b0\b/),
      })
      await stack.restart(service)
      await asking.stop()
      await inParallel(20, asking.promised, (p) => edge.settled(p.order_num, p.token, "unpaid"))
      const books = await settle(product.id)
      expect(violations(buyers.length, books)).toEqual([])
      expect(books.orders["unpaid"]).toBe(books.held)
      expect(books.held).toBeGreaterThanOrEqual(asking.promised.length)
    },
    180_000,
  )
})
