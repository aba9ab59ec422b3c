/**
 * One wish to buy, through whatever stands before the sale: challenge, waiting room, reservation. What it has reached
 * is kept after each step, so that a reload goes on where it was and under the same idempotency key.
 */
import { type Client, type Product, unwrap } from "@floodgate/client/Client"
import { isFloodgateError, NoAnswer } from "@floodgate/client/FloodgateError"
import { forget, keep, kept } from "../../session/Kept.ts"
import * as Challenge from "./Challenge.ts"

export type Step =
  | { readonly at: "idle" }
  /** `share` of the work that it takes on average. */
  | { readonly at: "checking"; readonly share: number }
  | { readonly at: "joining" }
  | { readonly at: "waiting"; readonly position: number; readonly ahead: number }
  | { readonly at: "asking" }
  | { readonly at: "bought"; readonly orderNum: string }
  | { readonly at: "refused"; readonly error: unknown }

/** Something that was wished and isn't settled. */
export interface Wish {
  readonly key: string
  readonly quantity: number
  readonly ticket?: string
  /** Has taken a place in the waiting room. */
  readonly inLine: boolean
}

const isWish = (value: unknown): value is Wish => {
  const { inLine, key, quantity } = (value ?? {}) as Partial<Wish>
  return typeof key === "string" && typeof quantity === "number" && typeof inLine === "boolean"
}

const nameOf = (productId: number): string => `wish.${productId}`

/** The wish for this product that a reload or a lost connection has interrupted. */
export const unsettled = (productId: number): Wish | undefined => kept(nameOf(productId), isWish)

export const abandon = (productId: number): void => forget(nameOf(productId))

/** Rounds of "first do that": an edge that never lets go mustn't keep us in a circle. */
const MAX_ROUNDS = 6

const sleep = (ms: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve, reject) => {
    const onAbort = () => {
      clearTimeout(timer)
      reject(signal.reason)
    }
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", onAbort)
      resolve()
    }, ms)
    signal.addEventListener("abort", onAbort, { once: true })
  })

interface Place {
  readonly state: "waiting" | "admitted"
  readonly position: number
  readonly ahead: number
  readonly retry_after_ms: number
  readonly ticket?: string
}

export interface Purchase {
  readonly client: Client
  readonly product: Pick<Product, "id" | "access">
  readonly quantity: number
  readonly report: (step: Step) => void
  readonly signal: AbortSignal
}

/**
 * Goes through with it. Answers how it ended, which has been reported, too; an abort ends it without a report, and the
 * wish stays.
 */
export const purchase = async ({ client, product, quantity, report, signal }: Purchase): Promise<void> => {
  const { id } = product
  const name = nameOf(id)
  const earlier = unsettled(id)
  let wish: Wish = earlier ?? { key: crypto.randomUUID(), quantity, inLine: false }
  const change = (fields: Partial<Wish>): void => {
    wish = { ...wish, ...fields }
    keep(name, wish)
  }
  /** Another body needs another key; only after an answer that says that nothing was reserved. */
  const withTicket = (ticket: string): void => change({ ticket, key: crypto.randomUUID() })

  const check = async (): Promise<void> => {
    report({ at: "checking", share: 0 })
    const progress = (share: number) => report({ at: "checking", share: Math.min(0.99, share) })
    withTicket(await Challenge.prove(client, id, wish.ticket, progress, signal))
  }

  const wait = async (): Promise<void> => {
    if (!wish.inLine) report({ at: "joining" })
    for (;;) {
      const path = { path: { id: String(id) } }
      const body = wish.ticket === undefined ? {} : { ticket: wish.ticket }
      const place: Place = wish.inLine
        ? await unwrap(client.http.GET("/products/{id}/queue", { params: path, signal }))
        : await unwrap(client.http.POST("/products/{id}/queue", { params: path, body, signal }))
      if (place.state === "admitted") {
        change({ inLine: false })
        if (place.ticket !== undefined) withTicket(place.ticket)
        return
      }
      // Nobody is at 0: the place has been given up.
      change({ inLine: place.position > 0 })
      if (place.position > 0) report({ at: "waiting", position: place.position, ahead: place.ahead })
      await sleep(place.retry_after_ms, signal)
    }
  }

  let needsCheck = wish.ticket === undefined && !wish.inLine && product.access.challenge
  let needsPlace = wish.inLine || (wish.ticket === undefined && product.access.waiting_room)
  keep(name, wish)
  for (let round = 1; ; round++) {
    try {
      if (needsCheck) await check()
      needsCheck = false
      if (needsPlace) await wait()
      needsPlace = false
      report({ at: "asking" })
      const { order_num } = await client.seckill({
        product_id: id,
        quantity: wish.quantity,
        key: wish.key,
        ...(wish.ticket === undefined ? {} : { ticket: wish.ticket }),
      })
      forget(name)
      report({ at: "bought", orderNum: order_num })
      return
    } catch (error) {
      if (signal.aborted) return
      if (round < MAX_ROUNDS && isFloodgateError(error, 704)) {
        needsCheck = true
        continue
      }
      if (round < MAX_ROUNDS && isFloodgateError(error, 705)) {
        needsPlace = true
        continue
      }
      if (isFloodgateError(error, 530) && error.data?.order_num !== undefined) {
        // Whether it was reserved isn't known yet; its order will tell.
        forget(name)
        report({ at: "bought", orderNum: error.data.order_num })
        return
      }
      const open =
        error instanceof NoAnswer ||
        (isFloodgateError(error) && [401, 429, 522, 530, 702].includes(error.code))
      if (!open) forget(name)
      report({ at: "refused", error })
      return
    }
  }
}
