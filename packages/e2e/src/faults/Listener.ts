/**
 * One who listens to the edge's events on a socket of its own, as a browser does: whenever the stream breaks, it comes
 * back to some edge and goes on behind the last id that it heard. By Node's bare client, because there are a thousand.
 */
import * as http from "node:http"
import { setTimeout as sleep } from "node:timers/promises"
import type { Edge } from "../support/Edge.ts"
import type { Dice } from "./Dice.ts"

/** A pause before one comes back (ms), as the edge's `retry` says, and as much again by chance. */
const PAUSE_MS = 1_000

export interface Told {
  readonly state: string
  readonly version: number
}

export class Listener {
  /** The newest of each order that was told. */
  readonly orders = new Map<string, Told>()
  /** The newest stock of each product that was told. */
  readonly stock = new Map<number, number>()
  /** Connections that were greeted, changes of orders and `reset`s heard, and refusals by status. */
  greeted = 0
  told = 0
  resets = 0
  readonly refused = new Map<number, number>()
  lastEventId: string | undefined
  #request: http.ClientRequest | undefined
  #response: http.IncomingMessage | undefined
  #open = true
  #listening = false
  readonly #topics: ReadonlyArray<string>
  readonly #headers: Readonly<Record<string, string>>
  readonly #dice: Dice
  #reads = true

  constructor(options: {
    readonly topics: ReadonlyArray<string>
    /** Its client address, as a proxy tells it. */
    readonly address: string
    readonly token?: string
    readonly dice: Dice
  }) {
    this.#topics = options.topics
    this.#dice = options.dice
    this.#headers = {
      accept: "text/event-stream",
      "x-forwarded-for": options.address,
      ...(options.token === undefined ? {} : { authorization: `Bearer ${options.token}` }),
    }
  }

  /** Whether a stream is open now. */
  get isListening(): boolean {
    return this.#listening
  }

  /** Listens at the first edge, and after that at any of `later`, until `close`. */
  async listen(first: Edge, later: ReadonlyArray<Edge>): Promise<void> {
    for (let edge = first; this.#open; edge = this.#dice.pick(later)) {
      await this.#connect(edge)
      if (this.#open) await sleep(PAUSE_MS * (1 + this.#dice.next()))
    }
  }

  /** Takes nothing more from its socket, as one whose line hangs, until `wake`. */
  hang(): void {
    this.#reads = false
  }

  /** Reads again, on a new connection if the old one is gone. */
  wake(): void {
    this.#reads = true
    this.#response?.resume()
  }

  close(): void {
    this.#open = false
    this.#request?.destroy()
  }

  /** One connection, to its end. */
  #connect(edge: Edge): Promise<void> {
    return new Promise((resolve) => {
      const request = http.get(`${edge.url}/events?topics=${this.#topics.join(",")}`, {
        agent: false,
        headers: {
          ...this.#headers,
          ...(this.lastEventId === undefined ? {} : { "last-event-id": this.lastEventId }),
        },
      })
      this.#request = request
      const end = () => {
        this.#listening = false
        resolve()
      }
      request.once("error", end)
      request.once("close", end)
      request.once("response", (response) => {
        if (response.statusCode !== 200) {
          const status = response.statusCode ?? 0
          this.refused.set(status, (this.refused.get(status) ?? 0) + 1)
          response.resume()
          request.destroy()
          return
        }
        this.#response = response
        let rest = ""
        response.setEncoding("utf8")
        response.on("data", (text: string) => {
          const events = `${rest}${text}`.split("\n\n")
          rest = events.pop()!
          for (const event of events) this.#take(event)
          if (!this.#reads) response.pause()
        })
        response.once("error", end)
        response.once("close", end)
      })
    })
  }

  #take(text: string): void {
    const fields = new Map(
      text.split("\n").map((line): [string, string] => {
        const colon = line.indexOf(": ")
        return [line.slice(0, colon), line.slice(colon + 2)]
      }),
    )
    const event = fields.get("event")
    if (event === undefined) return
    const data = JSON.parse(fields.get("data")!)
    if (event === "ready") {
      this.greeted++
      this.#listening = true
    } else if (event === "reset") this.resets++
    else if (event === "stock.updated") this.stock.set(data.product_id, data.stock)
    else if (event === "order.updated") {
      this.told++
      const before = this.orders.get(data.order_num)
      if (before === undefined || before.version <= data.version)
        this.orders.set(data.order_num, { state: data.state, version: data.version })
    }
    this.lastEventId = fields.get("id") ?? this.lastEventId
  }
}
