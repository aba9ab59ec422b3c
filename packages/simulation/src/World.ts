/** Everything that a simulated sale consists of: engines, tables, processes, and what is known of every number. */
import type { CancelReason, StoredState } from "@floodgate/ordering/domain/OrderState"
import type { RefundStatus } from "@floodgate/ordering/domain/Refund"
import type { PaymentStatus } from "@floodgate/ordering/domain/ShownPayment"
import type { IntentState } from "@floodgate/payment/domain/Intent"
import type { ProviderEvent } from "@floodgate/payment/domain/ProviderEvent"
import type { ProviderPayment } from "@floodgate/payment/sandbox/Ledger"
import { Broker, type Topic } from "./engine/Broker.ts"
import { Database, Table } from "./engine/Mysql.ts"
import { Redis } from "./engine/Redis.ts"
import { Scheduler } from "./engine/Scheduler.ts"
import type { Rule } from "./Rules.ts"

/** The product's row. */
export interface ProductRow {
  readonly id: number
  readonly initial: number
  readonly stock: number
  readonly generation: number
  readonly per_user_limit: number
  readonly price: number
}

export interface OrderRow {
  readonly id: number
  readonly order_num: string
  readonly user_id: number
  readonly product_id: number
  readonly generation: number
  readonly quantity: number
  readonly amount: number
  readonly request_id: string
  readonly state: StoredState
  readonly reject_reason: string | null
  readonly version: number
  readonly expires_at: number
  readonly cancel_reason: CancelReason | null
  readonly cancel_requested_at: number | null
  readonly cancel_asked_at: number
  readonly payment_id: string | null
  readonly payment_status: PaymentStatus | null
  readonly payment_version: number
  readonly capture_id: string | null
  readonly refund_id: string | null
  readonly refund_status: RefundStatus | null
}

export interface OutboxRow {
  readonly id: number
  readonly bucket: number
  readonly topic: Topic
  readonly aggregate: string
  readonly type: string
  readonly value: unknown
  readonly sent_at: number | null
}

export interface OutboxLease {
  readonly bucket: number
  readonly owner: string
  readonly epoch: number
  /** The bus' life that the marks refer to; 0 before the first. */
  readonly bus: number
  readonly checkpoint_at: number
}

export interface IntentRow {
  readonly payment_id: string
  readonly order_num: string
  readonly user_id: number
  readonly channel: Channel
  readonly amount: number
  readonly state: IntentState
  readonly pay_url: string | null
  readonly version: number
  readonly next_try_at: number | null
}

export interface CaptureRow {
  readonly capture_id: string
  readonly payment_id: string
  readonly order_num: string
  readonly amount: number
  readonly state: "new" | "applied" | "refused"
}

export interface RefundRow {
  readonly refund_id: string
  readonly capture_id: string
  readonly payment_id: string
  readonly order_num: string
  readonly user_id: number
  readonly channel: Channel
  readonly amount: number
  readonly state: "pending" | "succeeded"
  readonly next_try_at: number | null
}

export interface ProviderEventRow {
  readonly id: number
  readonly event: ProviderEvent
  readonly outcome: "received" | "applied" | "mismatch"
  readonly next_try_at: number | null
}

export type Channel = "balance" | "sandbox"

export const CURRENCY = "CNY"

/** What is known of a number beside all stores: who it was made for, and what was ever said of it. */
export interface Issued {
  readonly order_num: string
  readonly user_id: number
  readonly product_id: number
  readonly generation: number
  /** Redis time, ms. */
  readonly made_at: number
  readonly key: string
  /** A 202 was sent for it. */
  promised: boolean
  /** The last outcome told. */
  told: string
}

export const PAY_TIMEOUT_MS = 20_000
/** A dead letter that nobody attends to is discarded after this. */
export const DISCARD_MS = 15_000
export const BALANCE = 10_000
export const USERS = [1, 2, 3] as const

const outboxTables = (name: string) => ({
  name,
  rows: new Table<OutboxRow>(`${name}.outbox`),
  leases: new Table<OutboxLease>(`${name}.outbox_lease`),
})

export type Outbox = ReturnType<typeof outboxTables>

export class World extends Scheduler {
  readonly redis: Redis
  readonly broker = new Broker()
  readonly db: Database

  readonly product = new Table<ProductRow>("product")
  readonly order = new Table<OrderRow>("order")
  readonly purchase = new Table<{ readonly live: number }>("purchase")
  readonly stockLog = new Table<{ readonly delta: number }>("stock_log")
  readonly barrier = new Table<{ readonly epoch: number }>("barrier")
  readonly deadLetter = new Table<{
    readonly state: "open" | "discarded"
    readonly discard_at: number
    readonly message: unknown
  }>("dead_letter")
  readonly inbox = new Table<true>("inbox")
  readonly recoveryLease = new Table<{ readonly holder: string; readonly epoch: number }>("recovery_lease")
  readonly orderingOutbox = outboxTables("ordering")

  readonly gate = new Table<{ readonly state: "open" | "closed"; readonly active: string | null }>("gate")
  readonly intent = new Table<IntentRow>("intent")
  readonly capture = new Table<CaptureRow>("capture")
  /** (channel, provider_txn_id), the unique key of captures. */
  readonly captureTxn = new Table<string>("capture_txn")
  readonly providerEvent = new Table<ProviderEventRow>("provider_event")
  readonly refund = new Table<RefundRow>("refund")
  readonly idempotency = new Table<{
    readonly payment_id: string
    readonly created_at: number
    readonly answered: boolean
  }>("idempotency")
  readonly paymentOutbox = outboxTables("payment")

  readonly wallet = new Table<{ readonly balance: number }>("wallet")
  readonly decision = new Table<{
    readonly outcome: "debited" | "declined" | "void"
    readonly amount: number
  }>("wallet_decision")
  /** Credits by id, and the payments they return. */
  readonly credit = new Table<{
    readonly user_id: number
    readonly amount: number
    readonly order_num: string
  }>("wallet_entry")

  /** The provider's books, by payment, and its callbacks on the way. */
  readonly books = new Map<string, ProviderPayment>()
  readonly callbacks: Array<ProviderEvent> = []
  providerIsSilent = false
  lastTxn = 0

  /** Inventory's memory of generations. */
  readonly generations = new Map<number, number>()
  readonly issued = new Map<string, Issued>()
  /** Where each recovery's barrier lies behind the reservations, by epoch. */
  readonly barriersSent = new Map<
    number,
    { readonly partition: number; readonly offset: number; readonly life: number }
  >()
  lastNumber = 0
  /** A number that the order worker can't take, as long as it isn't mended. */
  poison = ""

  private broken: string | undefined

  constructor(readonly without: ReadonlySet<Rule> = new Set()) {
    super()
    this.db = new Database(() => this.now)
    this.redis = new Redis(() => this.now, without.has("fence"))
  }

  override get changes(): number {
    return this.db.commits + this.redis.writes + this.broker.published
  }

  has(rule: Rule): boolean {
    return !this.without.has(rule)
  }

  id(prefix: string): string {
    return `${prefix}${this.db.nextId()}`
  }

  /** Something happened that must never happen; the first one is kept. */
  violate(what: string): void {
    this.broken ??= what
  }

  get violation(): string | undefined {
    return this.broken
  }
}
