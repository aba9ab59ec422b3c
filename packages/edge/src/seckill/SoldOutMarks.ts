/**
 * Products of which this edge knows that nothing is left, so that it can say so by itself. Only a stock of 0 makes a
 * mark, it carries that stock's version and gives way to a newer one, and it lives half a second: a restock is seen by
 * then even where its news is lost.
 */
import * as Context from "effect/Context"
import * as Layer from "effect/Layer"
import { Generations } from "../limits/Generations.ts"

export const LIFE_MS = 500
/** Products remembered; twice as many at most. */
const PRODUCTS = 10_000
/** Buyers remembered; twice as many at most. */
const BUYERS = 50_000

interface Mark {
  version: number
  untilMs: number
}

export class SoldOutMarks extends Context.Tag("@floodgate/edge/seckill/SoldOutMarks")<
  SoldOutMarks,
  {
    /** Takes in what the shard held under a version of its stock. Older versions than the known one say nothing. */
    readonly learn: (productId: number, stock: number, version: number) => void
    /** Remembers who has bought: a repeat of theirs is told of the order, not of the stock. */
    readonly bought: (productId: number, userId: number) => void
    /** Whether nothing is left for this user, as far as is known. */
    readonly isSoldOut: (productId: number, userId: number) => boolean
  }
>() {}

/** `nowMs` must not go back. */
export const make = (nowMs: () => number): SoldOutMarks["Type"] => {
  const marks = new Generations<number, Mark>(PRODUCTS)
  const buyers = new Generations<string, true>(BUYERS)
  return {
    learn: (productId, stock, version) => {
      // Nothing is known: the shard is closed.
      if (version === 0 || stock < 0) return
      const untilMs = stock === 0 ? nowMs() + LIFE_MS : 0
      const known = marks.get(productId)
      if (known === undefined) {
        // What was never sold out needs no mark.
        if (stock === 0) marks.set(productId, { version, untilMs })
      } else if (version >= known.version) {
        known.version = version
        known.untilMs = untilMs
      }
    },
    bought: (productId, userId) => buyers.set(`${productId}:${userId}`, true),
    isSoldOut: (productId, userId) => {
      const known = marks.get(productId)
      return (
        known !== undefined && known.untilMs > nowMs() && buyers.get(`${productId}:${userId}`) === undefined
      )
    },
  }
}

export const layer = Layer.sync(SoldOutMarks, () => make(() => performance.now()))
