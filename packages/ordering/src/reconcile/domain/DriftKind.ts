/**
 * Every kind of difference between the stores that the reconciler looks for: the equation that doesn't hold, how that is
 * seen, and what is done about it. The one table: what isn't here isn't looked for, and `docs/guides/reconciliation.md`
 * shows it.
 */

/** What is done about a difference without a person. */
export type Repair =
  /** The product's shard is rebuilt from MySQL, which is the judge of stock; at most so often a shard. */
  | "rebuild"
  /** The step has a record, and its own worker goes on with it; a person is told that it takes too long. */
  | "worker"
  /** Nothing can be changed safely: a person is told. */
  | "page"

export interface DriftKindFacts {
  /** Of two numbers that must be equal, or of one that must not be so. */
  readonly equation: string
  readonly detected: string
  readonly repair: Repair
}

const table = {
  redis_above: {
    equation: "redis.stock + live records ≤ mysql.stock + held by orders",
    detected: "holding the product's row, by one read of Redis; of all records while nothing moved",
    repair: "rebuild",
  },
  redis_below: {
    equation: "redis.stock + live records ≥ mysql.stock + held by orders",
    detected: "of all records while nothing moved, and no stock change is half done",
    repair: "rebuild",
  },
  redis_missing: {
    equation: "redis.generation = mysql.generation, for everything on sale",
    detected: "holding the product's row, on a shard that is open",
    repair: "rebuild",
  },
  redis_negative: {
    equation: "redis.stock ≥ 0",
    detected: "holding the product's row, by one read of Redis",
    repair: "rebuild",
  },
  record_without_order: {
    equation: "a live record is an order that holds stock, or is queued",
    detected: "a live record whose number has no row and no entry in the shard's stream, while nothing moved",
    repair: "rebuild",
  },
  record_not_released: {
    equation: "a cancelled or rejected order has no live record",
    detected:
      "a live record whose order ended a while ago and whose event has left the outbox, while nothing moved",
    repair: "rebuild",
  },
  order_without_record: {
    equation: "an order that holds stock has a live record",
    detected: "held by orders − held by orders with a live record, while nothing moved",
    repair: "rebuild",
  },
  stock_equation: {
    equation: "mysql.stock = initial + adjustments − unpaid − ever paid",
    detected: "by one statement over product, orders and stock log",
    repair: "page",
  },
  stock_log_equation: {
    equation: "mysql.stock = initial + what the stock log adds up to",
    detected: "by one statement over product and stock log",
    repair: "page",
  },
  stock_negative: {
    equation: "mysql.stock ≥ 0",
    detected: "holding the product's row",
    repair: "page",
  },
  purchase_equation: {
    equation: "purchase.live_quantity = sum of the buyer's live orders",
    detected: "by one statement over orders and purchases, for each buyer",
    repair: "page",
  },
  adjustment_half_done: {
    equation: "a stock change is in MySQL and in Redis, or in neither",
    detected: "a stock change that is neither applied nor refused after a while",
    repair: "worker",
  },
  entry_stuck: {
    equation: "every entry of a shard's stream gets an outcome",
    detected: "the oldest entry is old, its number has no row, and it isn't an open dead letter",
    repair: "worker",
  },
  cancel_stuck: {
    equation: "an order whose cancel was asked for is cancelled or paid",
    detected: "unpaid long after its cancel was asked for",
    repair: "worker",
  },
  expiry_stuck: {
    equation: "an order that isn't paid in time is cancelled",
    detected: "unpaid long after its time, and nobody asked for its cancel",
    repair: "worker",
  },
  outbox_stuck: {
    equation: "what is written to an outbox is sent",
    detected: "the oldest unsent event of a service is old",
    repair: "worker",
  },
  paid_without_capture: {
    equation: "a paid order has money: the capture that paid it",
    detected: "an order that was ever paid, of which payment has no capture",
    repair: "page",
  },
  capture_without_order: {
    equation: "a capture is applied to an order that was ever paid",
    detected: "a capture applied to an order that was never paid, or isn't there",
    repair: "page",
  },
  money_mismatch: {
    equation: "captured − refunded = amount if paid, else 0; what is under way excepted",
    detected: "the order's captures and refunds, read between two equal versions of the order",
    repair: "page",
  },
  capture_unanswered: {
    equation: "ordering answers every capture",
    detected: "a capture that is still new after a while",
    repair: "worker",
  },
  wallet_mismatch: {
    equation: "balance = sum of entries",
    detected: "by one statement over the wallet and its entries",
    repair: "page",
  },
  debit_without_capture: {
    equation: "a payment that the wallet debited is captured",
    detected: "a debit whose intent has no capture after a while",
    repair: "page",
  },
  capture_without_debit: {
    equation: "a capture of the wallet's channel was debited, by its amount",
    detected: "such a capture whose payment the wallet didn't debit, or by another amount",
    repair: "page",
  },
} as const satisfies Record<string, DriftKindFacts>

export type DriftKind = keyof typeof table

/** The facts of each kind. */
export const facts: Readonly<Record<DriftKind, DriftKindFacts>> = table

/** In the order of the table. */
export const kinds = Object.keys(table) as ReadonlyArray<DriftKind>

/** The table as the guide has it, in Markdown. */
export const markdown = (): string => {
  const rows = kinds.map((kind) => [
    `\`${kind}\``,
    facts[kind].equation,
    facts[kind].detected,
    facts[kind].repair,
  ])
  const head = ["kind", "must hold", "how it is seen", "what is done"]
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i]!.length)))
  const line = (cells: ReadonlyArray<string>) =>
    `| ${cells.map((cell, i) => cell.padEnd(widths[i]!)).join(" | ")} |`
  return [line(head), `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |`, ...rows.map(line)].join(
    "\n",
  )
}

/** A difference, as one look found it. */
export interface Finding {
  readonly kind: DriftKind
  /** What it is about, e.g. `product:42`. ≤ 96 ASCII characters. */
  readonly subject: string
  readonly productId?: number | undefined
  readonly orderNum?: string | undefined
  readonly redis?: number | undefined
  readonly mysql?: number | undefined
  readonly ledger?: number | undefined
  /** For a person: ids, states, numbers. */
  readonly details?: Readonly<Record<string, unknown>> | undefined
  /**
   * The versions under which it was found: it counts where the next look finds it under the same ones. Empty for what
   * no movement explains.
   */
  readonly versions: string
}

/** The name under which the same difference is known again. */
export const keyOf = (finding: Pick<Finding, "kind" | "subject">): string =>
  `${finding.kind} ${finding.subject}`
