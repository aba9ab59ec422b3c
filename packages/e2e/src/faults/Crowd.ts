/**
 * Buyers who keep asking while things break, and the record of everything that they asked and were told.
 *
 * A crowd works off a plan that its dice made beforehand: who wants to buy, at which edge, and what becomes of the
 * order. As our clients do, a buyer repeats a wish under its key until the answer is definite.
 */
import { setTimeout as sleep } from "node:timers/promises"
import type { Answer, Edge } from "../support/Edge.ts"
import type { Dice } from "./Dice.ts"
import { patient } from "./Patience.ts"

export interface Buyer {
  readonly id: number
  readonly token: string
}

/** What became of one request. */
export type Told =
  /** 202: a promise of an answer. */
  | "promised"
  /** 409: a definite no. */
  | "refused"
  /** 429 or 503: nothing is promised; a number that is told may still turn out to be an order. */
  | "busy"
  /** No answer in time, or a broken connection: anything may have happened. */
  | "lost"
  /** Any other answer, which no fault excuses. */
  | "defect"

export interface Request {
  readonly atMs: number
  readonly tookMs: number
  readonly told: Told
  readonly status: number
  readonly code: number
  readonly order_num: string | undefined
  readonly text: string
}

export type Afterwards = "leave" | "pay by wallet" | "pay at the provider" | "cancel"

/** One wish: one key, asked as often as needed. */
export interface Wish {
  readonly buyer: Buyer
  readonly key: string
  readonly quantity: number
  readonly edge: Edge
  readonly afterwards: Afterwards
  readonly requests: Array<Request>
  /** What the buyer then did with the order, as it was answered. */
  readonly deeds: Array<{ readonly atMs: number; readonly deed: string; readonly answer: string }>
}

/** One look at a number. `state` is the order's, or what was answered in its place. */
export interface Look {
  /** When it was asked, and when it was answered: looks at one number may overlap. */
  readonly askedMs: number
  readonly atMs: number
  readonly state: string
}

export interface Habits {
  /** Wishes a second, all together. */
  readonly perSecond?: number
  /** Of a hundred orders, so many are paid by wallet, paid at the provider, and cancelled. */
  readonly percent?: { readonly wallet: number; readonly provider: number; readonly cancel: number }
  /** Wishes at most. Default: as many as the buyers may make. */
  readonly wishes?: number
  readonly quantity?: number
}

const REQUEST_MS = 5_000
/** How long an undecided wish is repeated. */
const PATIENCE_MS = 60_000
/** How long one more after the crowd was told to stop. */
const LAST_PATIENCE_MS = 20_000
const MOST_LANES = 16
const AFTERWARDS_LANES = 8
const LOOK_EVERY_MS = 40

const describe = (answer: Answer): string => `${answer.status}/${answer.code}`

const toldBy = (status: number): Told => {
  if (status === 202) return "promised"
  if (status === 409) return "refused"
  return status === 429 || status === 503 ? "busy" : "defect"
}

export class Crowd {
  readonly productId: number
  readonly wishes: Array<Wish> = []
  /** What was seen of each number, in the order of the answers. */
  readonly looks = new Map<string, Array<Look>>()
  readonly #plan: ReadonlyArray<Wish>
  readonly #dice: Dice
  readonly #perSecond: number
  readonly #owners = new Map<string, Wish>()
  readonly #toDo: Array<{ readonly wish: Wish; readonly order_num: string }> = []
  #at = 0
  #stopping = false
  #stoppedAtMs = Number.POSITIVE_INFINITY
  #running: Promise<unknown> = Promise.resolve()

  constructor(options: {
    readonly productId: number
    readonly edges: ReadonlyArray<Edge>
    readonly buyers: ReadonlyArray<Buyer>
    readonly perUserLimit: number
    readonly dice: Dice
    readonly habits: Habits
  }) {
    const { dice, habits } = options
    this.productId = options.productId
    this.#dice = dice
    this.#perSecond = habits.perSecond ?? 40
    const quantity = habits.quantity ?? 1
    const each = Math.max(1, Math.floor(options.perUserLimit / quantity))
    const { wallet, provider, cancel } = habits.percent ?? { wallet: 25, provider: 10, cancel: 15 }
    const turns = dice.shuffle(options.buyers.flatMap((buyer) => Array.from({ length: each }, () => buyer)))
    this.#plan = turns.slice(0, habits.wishes ?? turns.length).map((buyer) => {
      const fate = dice.between(1, 100)
      return {
        buyer,
        key: `wish-${dice.id()}`,
        quantity,
        edge: dice.pick(options.edges),
        afterwards:
          fate <= wallet
            ? "pay by wallet"
            : fate <= wallet + provider
              ? "pay at the provider"
              : fate <= wallet + provider + cancel
                ? "cancel"
                : "leave",
        requests: [],
        deeds: [],
      }
    })
  }

  /** Wishes that nobody has begun to ask for. */
  get left(): number {
    return this.#plan.length - this.#at
  }

  /** Whether somebody still asks: there are wishes left, and nobody was told to stop. */
  get isAsking(): boolean {
    return !this.#stopping && this.wishes.length > 0 && this.left > 0
  }

  /** Numbers of 202 answers so far. */
  get promised(): ReadonlyArray<string> {
    return [...this.#numbers("promised")]
  }

  /** Every number that a client was told, with whose it is. */
  get numbers(): ReadonlyMap<string, Wish> {
    return this.#owners
  }

  /** Requests sent since then that were promised an answer. */
  promisedSince(ms: number): number {
    return this.requests.filter((request) => request.atMs >= ms && request.told === "promised").length
  }

  get requests(): ReadonlyArray<Request> {
    return this.wishes.flatMap((wish) => wish.requests)
  }

  #numbers(told: Told): Set<string> {
    return new Set(
      this.requests.flatMap((request) =>
        request.told === told && request.order_num !== undefined ? [request.order_num] : [],
      ),
    )
  }

  start(): this {
    const lanes = Math.min(MOST_LANES, Math.max(2, Math.ceil(this.#perSecond / 5)))
    const jobs = [
      ...Array.from({ length: lanes }, (_, i) => this.#lane(this.#dice.fork(`lane ${i}`), lanes)),
      this.#watch(this.#dice.fork("watch")),
    ]
    const asking = Promise.all(jobs)
    const doing = Promise.all(Array.from({ length: AFTERWARDS_LANES }, () => this.#afterwards()))
    this.#running = Promise.all([asking, doing])
    return this
  }

  /** No new wishes, and no new deeds; those in hand are brought to an end, at most 20 s. */
  async stop(): Promise<void> {
    if (!this.#stopping) {
      this.#stopping = true
      this.#stoppedAtMs = Date.now()
      this.#toDo.length = 0
    }
    await this.#running
  }

  #patient(sinceMs: number): boolean {
    return (
      Date.now() < Math.min(sinceMs + patient(PATIENCE_MS), this.#stoppedAtMs + patient(LAST_PATIENCE_MS))
    )
  }

  async #lane(dice: Dice, lanes: number): Promise<void> {
    const pauseMs = (1000 * lanes) / this.#perSecond
    await sleep(dice.between(0, Math.round(pauseMs)))
    while (!this.#stopping && this.#at < this.#plan.length) {
      const wish = this.#plan[this.#at++]!
      const began = Date.now()
      await this.#ask(wish, dice)
      const rest = pauseMs * (0.5 + dice.next()) - (Date.now() - began)
      if (rest > 0) await sleep(rest)
    }
  }

  async #ask(wish: Wish, dice: Dice): Promise<void> {
    this.wishes.push(wish)
    const began = Date.now()
    for (;;) {
      const request = await this.reserve(wish)
      if (request.told === "promised") {
        if (wish.afterwards !== "leave" && !this.#stopping)
          this.#toDo.push({ wish, order_num: request.order_num! })
        return
      }
      if (request.told === "refused" || request.told === "defect" || !this.#patient(began)) return
      await sleep(dice.between(80, 300))
    }
  }

  /** Sends the wish once more, under its key, and notes what is told. */
  async reserve(wish: Wish, edge: Edge = wish.edge): Promise<Request> {
    const atMs = Date.now()
    let request: Request
    try {
      const answer = await edge.post(
        "/seckill",
        { product_id: this.productId, quantity: wish.quantity },
        { token: wish.buyer.token, key: wish.key, timeoutMs: REQUEST_MS },
      )
      request = {
        atMs,
        tookMs: Date.now() - atMs,
        told: toldBy(answer.status),
        status: answer.status,
        code: answer.code,
        // 511 tells the number that the buyer holds already: it may be of another wish.
        order_num: answer.status === 202 || answer.status === 503 ? answer.data?.order_num : undefined,
        text: answer.msg,
      }
    } catch (cause) {
      request = {
        atMs,
        tookMs: Date.now() - atMs,
        told: "lost",
        status: 0,
        code: 0,
        order_num: undefined,
        text: String(cause),
      }
    }
    wish.requests.push(request)
    if (request.order_num !== undefined) this.#owners.set(request.order_num, wish)
    return request
  }

  /** What the edge says of a number, as one word; `lost` where there was no answer. */
  async look(order_num: string): Promise<string> {
    const { buyer, edge } = this.#owners.get(order_num)!
    const askedMs = performance.now()
    let state: string
    try {
      const answer = await edge.get(`/orders/${order_num}`, { token: buyer.token, timeoutMs: REQUEST_MS })
      state =
        answer.code === 0
          ? String(answer.data.state)
          : answer.status === 503 || answer.status === 429
            ? "busy"
            : describe(answer)
    } catch {
      state = "lost"
    }
    const looks = this.looks.get(order_num)
    const look = { askedMs, atMs: performance.now(), state }
    if (looks === undefined) this.looks.set(order_num, [look])
    else looks.push(look)
    return state
  }

  /** Looks at numbers at random while the crowd asks. */
  async #watch(dice: Dice): Promise<void> {
    while (!this.#stopping && this.#at < this.#plan.length) {
      const known = [...this.#owners.keys()]
      if (known.length > 0) await this.look(dice.pick(known))
      await sleep(LOOK_EVERY_MS)
    }
  }

  async #afterwards(): Promise<void> {
    for (;;) {
      const next = this.#toDo.shift()
      if (next === undefined) {
        const asked = this.#stopping || this.#at >= this.#plan.length
        // Lanes that are still asking may bring more.
        if (asked && this.wishes.every((wish) => this.#isOver(wish))) return
        await sleep(20)
        continue
      }
      await this.#deal(next.wish, next.order_num)
    }
  }

  #isOver(wish: Wish): boolean {
    const last = wish.requests.at(-1)
    return (
      last !== undefined && (!(last.told === "busy" || last.told === "lost") || !this.#patient(last.atMs))
    )
  }

  async #deal(wish: Wish, order_num: string): Promise<void> {
    const began = Date.now()
    const note = (deed: string, answer: string) => wish.deeds.push({ atMs: Date.now(), deed, answer })
    let state = await this.look(order_num)
    while (["queued", "busy", "lost"].includes(state) && this.#patient(began)) {
      await sleep(60)
      state = await this.look(order_num)
    }
    if (state !== "unpaid") return
    const { token } = wish.buyer
    const call = { token, key: `${wish.afterwards}-${wish.key}`.replaceAll(" ", "-"), timeoutMs: REQUEST_MS }
    do {
      try {
        if (wish.afterwards === "cancel") {
          const answer = await wish.edge.post(
            `/orders/${order_num}/cancel`,
            {},
            { token, timeoutMs: REQUEST_MS },
          )
          note("cancel", describe(answer))
          if (answer.status === 200 || answer.status === 409) return
        } else {
          const channel = wish.afterwards === "pay by wallet" ? "balance" : "sandbox"
          const answer = await wish.edge.post(`/orders/${order_num}/pay`, { channel }, call)
          note(wish.afterwards, describe(answer))
          // 522: our own first try is still being answered.
          if (answer.status === 409 && answer.code !== 522) return
          if (answer.code === 0) {
            if (channel === "balance") return
            const paid = await fetch(`${answer.data.pay_url}/succeed`, {
              method: "POST",
              signal: AbortSignal.timeout(REQUEST_MS),
            })
            note("the provider was paid", String(paid.status))
            if (paid.status < 500) return
          }
        }
      } catch (cause) {
        note(wish.afterwards, String(cause))
      }
      await sleep(200)
    } while (this.#patient(began))
  }
}
