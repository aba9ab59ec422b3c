/** What the load generator is told, and what it answers: plain data, because it is a process of its own. */

/** Buyers from `from` (included) to `to` (not included), of those that were loaded. */
export interface Range {
  readonly from: number
  readonly to: number
}

/** Requests in the order in which they are sent. */
export type Requests =
  | {
      /**
       * `buy`: each buyer wants each product once, product after product, and then there is nothing more to send. `ask`:
       * the same without an end. `spread`: as `buy`, but one buyer after the other wants another product.
       */
      readonly kind: "buy" | "ask" | "spread"
      readonly products: ReadonlyArray<number>
      readonly buyers: Range
      /** With an `Idempotency-Key`, as our own clients send it. */
      readonly keyed: boolean
    }
  /** Each order is paid once from its buyer's wallet. */
  | { readonly kind: "pay"; readonly orders: ReadonlyArray<readonly [buyer: number, orderNum: string]> }
  /** GET of each path in turn, for ever, each time from another address. */
  | { readonly kind: "get"; readonly paths: ReadonlyArray<string> }

export interface Plan {
  readonly port: number
  readonly connections: number
  /** Each connection sends the first request as soon as it is open, uncounted: a server closes those that are silent. */
  readonly greets?: boolean
  readonly requests: Requests
  /** Requests that are sent first and counted nowhere but in `statuses`. */
  readonly warmUp: number
  /** Ends after so many (with the warm-up), or after so many ms of measuring, whichever comes first. */
  readonly most: number
  readonly forMs: number
  /**
   * Requests a second. Undefined: a closed loop, each connection sends as soon as it is answered. A latency at a fixed
   * rate counts from when the request was due, not from when a connection was free for it.
   */
  readonly rate: number | undefined
  /** Percentiles and `answered` are of answers with this status only (`202`); undefined: of all. */
  readonly judged?: string
  /** Whether the outcome tells when each request was due. */
  readonly clicks?: boolean
}

export interface Outcome {
  /** Answers in the measured time. */
  readonly answered: number
  readonly seconds: number
  /** Answers by HTTP status and envelope code (`202`, `409/510`), the warm-up's among them. */
  readonly statuses: Readonly<Record<string, number>>
  /** Requests that were sent, the warm-up's among them. */
  readonly sent: number
  /** Milliseconds of the measured answers. */
  readonly p50: number
  readonly p99: number
  readonly p999: number
  readonly max: number
  /** Processor time of the load generator in the measured time, as a share of one core. */
  readonly ownCpu: number
  /** When each request was due, Unix ms, in the order of `Requests`; empty where nobody asked. */
  readonly clicks: ReadonlyArray<number>
}

/** What the parent sends. */
export type Told =
  | { readonly what: "buyers"; readonly file: string }
  | { readonly what: "run"; readonly plan: Plan }

/** What the child answers, each once. */
export type Answer =
  | { readonly what: "ready" }
  | { readonly what: "outcome"; readonly outcome: Outcome }
  | { readonly what: "failed"; readonly reason: string }
