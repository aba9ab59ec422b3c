/** Sales whose buyers come by other doors than the edges themselves. */
import { setTimeout as sleep } from "node:timers/promises"
import type { Answer, Edge } from "../support/Edge.ts"
import { Crowd, type Habits } from "./Crowd.ts"
import type { Sale, Trial } from "./Trial.ts"

/** A sale of the trial whose crowd asks at these edges only. It doesn't ask yet. */
export const saleAt = async (
  trial: Trial,
  edges: ReadonlyArray<Edge>,
  {
    stock = 250,
    perUserLimit = 5,
    habits = {},
  }: { stock?: number; perUserLimit?: number; habits?: Habits } = {},
): Promise<Sale> => {
  const productId = await trial.world.publish({ stock, per_user_limit: perUserLimit })
  const crowd = new Crowd({
    productId,
    edges,
    buyers: await trial.world.buyers(),
    perUserLimit,
    dice: trial.dice.fork(`crowd ${trial.sales.length}`),
    habits,
  })
  const sale = { productId, stock, crowd }
  trial.sales.push(sale)
  return sale
}

/** Repeats a call that may be lost or told to come back, until it is answered; undefined when the time is over. */
export const insist = async (ask: () => Promise<Answer>, limitMs: number): Promise<Answer | undefined> => {
  const untilMs = Date.now() + limitMs
  for (;;) {
    const answer = await ask().catch(() => undefined)
    // 522: our own earlier try is still being answered.
    if (answer !== undefined && answer.status !== 503 && answer.status !== 429 && answer.code !== 522) {
      return answer
    }
    if (Date.now() > untilMs) return undefined
    await sleep(250)
  }
}
