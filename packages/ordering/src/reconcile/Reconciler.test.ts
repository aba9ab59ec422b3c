import { create, type MessageInitShape } from "@bufbuild/protobuf"
import { assert, describe, layer } from "@effect/vitest"
import {
  GetWalletLedgerResponseSchema,
  ListWalletDecisionsResponseSchema,
  type WalletBooksSchema,
  type WalletDecisionRecordSchema,
  WalletOutcome,
} from "@floodgate/contracts/gen/floodgate/identity/v1/identity_pb"
import { GetLedgerResponseSchema } from "@floodgate/contracts/gen/floodgate/payment/v1/payment_pb"
import { IdentityClient } from "@floodgate/contracts/rpc/IdentityClient"
import { InventoryClient } from "@floodgate/contracts/rpc/InventoryClient"
import { PaymentClient } from "@floodgate/contracts/rpc/PaymentClient"
import * as OrderNum from "@floodgate/contracts/sale/OrderNum"
import { Mysql, retryConflicts } from "@floodgate/runtime/mysql/Mysql"
import { Redis } from "@floodgate/runtime/redis/Redis"
import * as Shards from "@floodgate/runtime/redis/Shards"
import * as TestRedis from "@floodgate/runtime/testing/TestRedis"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Ref from "effect/Ref"
import { CancelStore } from "../store/CancelStore.ts"
import type { OrderStore } from "../store/OrderStore.ts"
import { KEY, product, query, stores } from "../testing/Fixture.ts"
import * as Sale from "../testing/TestSale.ts"
import * as BooksStore from "./BooksStore.ts"
import { DriftStore } from "./DriftStore.ts"
import { type DriftKind, facts, kinds } from "./domain/DriftKind.ts"
import * as Reconciler from "./Reconciler.ts"
import * as SaleBooks from "./SaleBooks.ts"
import { keys } from "./SaleBooks.ts"
import * as Settings from "./Settings.ts"

interface Capture {
  readonly captureId: string
  readonly state: string
  readonly amount: bigint
  readonly refunded?: bigint
  readonly refunding?: bigint
  readonly ageMs?: bigint
}

interface Intent {
  readonly paymentId: string
  readonly orderNum: string
  readonly userId: bigint
  readonly channel: string
  readonly amount: bigint
  readonly currency: string
  readonly state: string
  readonly ageMs: bigint
  readonly captures: Array<Capture>
}

/** The ledgers of identity and payment, as the tests write them. */
class Ledgers extends Context.Tag("test/Ledgers")<
  Ledgers,
  {
    readonly intents: Map<string, Intent>
    readonly decisions: Map<string, MessageInitShape<typeof WalletDecisionRecordSchema>>
    readonly wallets: Map<number, MessageInitShape<typeof WalletBooksSchema>>
    /** How long payment's oldest event waits. */
    outboxOldestMs: number
    /** Products whose shard was rebuilt. */
    readonly rebuilt: Array<number>
  }
>() {}

const peers = Layer.effectContext(
  Effect.gen(function* () {
    const ledgers = yield* Ledgers
    const context = yield* Effect.context<Redis | Mysql | OrderStore>()
    const payment = {
      getLedger: (request: { orderNums?: ReadonlyArray<string>; paymentIds?: ReadonlyArray<string> }) =>
        Effect.sync(() => {
          const { orderNums, paymentIds } = request
          const named = orderNums !== undefined || paymentIds !== undefined
          return create(GetLedgerResponseSchema, {
            intents: [...ledgers.intents.values()].filter(
              (intent) =>
                !named || orderNums?.includes(intent.orderNum) || paymentIds?.includes(intent.paymentId),
            ),
            outboxOldestMs: BigInt(ledgers.outboxOldestMs),
          })
        }),
    }
    const identity = {
      getWalletLedger: () =>
        Effect.sync(() => create(GetWalletLedgerResponseSchema, { wallets: [...ledgers.wallets.values()] })),
      listWalletDecisions: ({ paymentIds }: { paymentIds?: ReadonlyArray<string> }) =>
        Effect.sync(() =>
          create(ListWalletDecisionsResponseSchema, {
            decisions: [...ledgers.decisions.values()].filter(
              (decision) => paymentIds === undefined || paymentIds.includes(decision.paymentId!),
            ),
          }),
        ),
    }
    const inventory = {
      rebuildProduct: ({ productId }: { productId: bigint }) =>
        Sale.rebuild(Number(productId)).pipe(
          Effect.tap(() =>
            Effect.sync(() => {
              ledgers.rebuilt.push(Number(productId))
            }),
          ),
          Effect.provide(context),
          Effect.orDie,
        ),
    }
    return Context.empty().pipe(
      Context.add(PaymentClient, payment as unknown as PaymentClient["Type"]),
      Context.add(IdentityClient, identity as unknown as IdentityClient["Type"]),
      Context.add(InventoryClient, inventory as unknown as InventoryClient["Type"]),
    )
  }),
)

const world = Layer.mergeAll(BooksStore.layer, SaleBooks.layer, peers).pipe(
  Layer.provideMerge(Layer.merge(stores, TestRedis.layer)),
  Layer.provideMerge(
    Layer.sync(Ledgers, () => ({
      intents: new Map(),
      decisions: new Map(),
      wallets: new Map(),
      outboxOldestMs: 0,
      rebuilt: [],
    })),
  ),
)

const impatient = { share: 0, unmovedMs: 0, graceMs: 100, answerMs: 100, repairPauseMs: 600_000 }

/** A reconciler of the test's own, which gives its lease up when the test is over. */
const reconciler = (settings: Partial<Settings.Values>) =>
  Effect.map(Layer.build(Reconciler.service.pipe(Layer.provide(Settings.layerOf(settings)))), (context) =>
    Context.get(context, Reconciler.Reconciler),
  )

const open = Effect.map(
  Effect.flatMap(DriftStore, (drifts) => drifts.list),
  (list) => list.filter(({ repaired }) => !repaired),
)

const sent = query("UPDATE outbox SET sent_at = UTC_TIMESTAMP(3) WHERE sent_at IS NULL")

const redis = <A>(f: (c: import("ioredis").Redis) => Promise<A>) =>
  Effect.flatMap(Redis, (service) => service.run("test", (c) => f(c as import("ioredis").Redis)))

/** A product on sale in both stores; answers id and generation. */
const onSale = (stock = 10, limit = 5) =>
  Effect.gen(function* () {
    const id = yield* product({ stock, limit, generation: 1 })
    return { id, generation: yield* Sale.rebuild(id) }
  })

/** An order of this buyer, made by reservation and worker; its number. */
const ordered = (p: { id: number; generation: number }, userId: number) =>
  Effect.gen(function* () {
    const orderNum = yield* Sale.reserve(p.id, p.generation, userId)
    yield* Sale.createOrders(p.id)
    return orderNum!
  })

/** Enough time for the grace of these tests to be over. */
const grace = Effect.sleep("150 millis")

const intent = (
  paymentId: string,
  orderNum: string,
  captures: Array<Capture>,
  channel = "sandbox",
): Intent => ({
  paymentId,
  orderNum,
  userId: 1n,
  channel,
  amount: 9900n,
  currency: "CNY",
  state: "applied",
  ageMs: 3_600_000n,
  captures,
})

const capture = (captureId: string, state: string, amount = 9900n, refunded = 0n) => ({
  captureId,
  state,
  amount,
  refunded,
  ageMs: 3_600_000n,
})

/** Makes what each kind is about; answers how to take it back, where nobody repairs it. */
type Plant = Effect.Effect<
  { readonly subject: string; readonly undo?: Effect.Effect<unknown, unknown, Mysql | Redis | Plants> },
  unknown,
  Mysql | Redis | Plants
>
type Plants = Layer.Layer.Success<typeof world>

const sql = (text: string, ...params: ReadonlyArray<unknown>) => query(text, params)

const plants: Record<Exclude<DriftKind, "outbox_stuck">, Plant> = {
  redis_above: Effect.gen(function* () {
    const p = yield* onSale()
    yield* ordered(p, 1)
    yield* redis((c) => c.hincrby(keys.product(p.id), "stock", 5))
    return { subject: `product:${p.id}` }
  }),
  redis_below: Effect.gen(function* () {
    const p = yield* onSale()
    yield* redis((c) => c.hincrby(keys.product(p.id), "stock", -3))
    return { subject: `product:${p.id}` }
  }),
  redis_missing: Effect.gen(function* () {
    const p = yield* onSale()
    yield* redis((c) => c.del(keys.product(p.id)))
    return { subject: `product:${p.id}` }
  }),
  redis_negative: Effect.gen(function* () {
    const p = yield* onSale()
    yield* redis((c) => c.hset(keys.product(p.id), "stock", -1))
    return { subject: `product:${p.id}` }
  }),
  record_without_order: Effect.gen(function* () {
    const p = yield* onSale()
    const orderNum = yield* Sale.reserve(p.id, p.generation, 1)
    yield* redis((c) => c.del(keys.stream(Shards.shardOf(p.id))))
    return { subject: `order:${orderNum}` }
  }),
  record_not_released: Effect.gen(function* () {
    const p = yield* onSale()
    const orderNum = yield* ordered(p, 1)
    const cancels = yield* CancelStore
    yield* cancels.request({ orderNum, reason: "user", actorId: 1, note: "" })
    yield* cancels.finish([{ order_num: orderNum, product_id: p.id }])
    return { subject: `order:${orderNum}` }
  }),
  order_without_record: Effect.gen(function* () {
    const p = yield* onSale()
    yield* ordered(p, 1)
    const orderNum = yield* ordered(p, 2)
    yield* redis((c) => c.hdel(keys.buyers(p.id, p.generation), "2"))
    return { subject: `order:${orderNum}` }
  }),
  stock_equation: Effect.gen(function* () {
    const p = yield* onSale()
    yield* sql("UPDATE {inventory}.product SET stock = stock + 1 WHERE id = ?", p.id)
    return {
      subject: `product:${p.id}`,
      undo: sql("UPDATE {inventory}.product SET stock = stock - 1 WHERE id = ?", p.id),
    }
  }),
  stock_log_equation: Effect.gen(function* () {
    const p = yield* onSale()
    const orderNum = yield* ordered(p, 1)
    yield* sql("UPDATE {inventory}.stock_log SET delta = -2 WHERE ref = ?", orderNum)
    return {
      subject: `product:${p.id}`,
      undo: sql("UPDATE {inventory}.stock_log SET delta = -1 WHERE ref = ?", orderNum),
    }
  }),
  stock_negative: Effect.gen(function* () {
    const p = yield* onSale()
    yield* sql("ALTER TABLE {inventory}.product DROP CONSTRAINT product_stock_not_negative")
    yield* sql("UPDATE {inventory}.product SET stock = -1 WHERE id = ?", p.id)
    return {
      subject: `product:${p.id}`,
      undo: sql("UPDATE {inventory}.product SET stock = 10 WHERE id = ?", p.id),
    }
  }),
  purchase_equation: Effect.gen(function* () {
    const p = yield* onSale()
    yield* ordered(p, 1)
    yield* sql("UPDATE purchase SET live_quantity = 2 WHERE product_id = ?", p.id)
    return {
      subject: `product:${p.id}`,
      undo: sql("UPDATE purchase SET live_quantity = 1 WHERE product_id = ?", p.id),
    }
  }),
  adjustment_half_done: Effect.gen(function* () {
    const p = yield* onSale()
    const id = `adjustment-${p.id}`
    yield* sql(
      `INSERT INTO {inventory}.stock_adjustment
        (id, product_id, delta, body_hash, state, generation, actor_id, reason, created_at)
       VALUES (?, ?, -1, '', 'requested', ?, 1, '', UTC_TIMESTAMP(3) - INTERVAL 1 HOUR)`,
      id,
      p.id,
      p.generation,
    )
    return {
      subject: `adjustment:${id}`,
      undo: sql("UPDATE {inventory}.stock_adjustment SET state = 'refused' WHERE id = ?", id),
    }
  }),
  entry_stuck: Effect.gen(function* () {
    const p = yield* onSale()
    const orderNum = yield* Sale.reserve(p.id, p.generation, 1)
    return { subject: `order:${orderNum}`, undo: Sale.createOrders(p.id) }
  }),
  cancel_stuck: Effect.gen(function* () {
    const p = yield* onSale()
    const orderNum = yield* ordered(p, 1)
    yield* sql(
      `UPDATE \`order\` SET cancel_requested_at = UTC_TIMESTAMP(3) - INTERVAL 1 HOUR,
        cancel_asked_at = UTC_TIMESTAMP(3) WHERE order_num = ?`,
      orderNum,
    )
    return {
      subject: `order:${orderNum}`,
      undo: sql("UPDATE `order` SET cancel_requested_at = NULL WHERE order_num = ?", orderNum),
    }
  }),
  expiry_stuck: Effect.gen(function* () {
    const p = yield* onSale()
    const orderNum = yield* ordered(p, 1)
    yield* sql(
      "UPDATE `order` SET expires_at = UTC_TIMESTAMP(3) - INTERVAL 1 HOUR WHERE order_num = ?",
      orderNum,
    )
    return {
      subject: `order:${orderNum}`,
      undo: sql(
        "UPDATE `order` SET expires_at = UTC_TIMESTAMP(3) + INTERVAL 1 HOUR WHERE order_num = ?",
        orderNum,
      ),
    }
  }),
  paid_without_capture: Effect.gen(function* () {
    const p = yield* onSale()
    const orderNum = yield* ordered(p, 1)
    yield* sql("UPDATE `order` SET state = 'paid', capture_id = 'cap_a' WHERE order_num = ?", orderNum)
    return {
      subject: `order:${orderNum}`,
      undo: sql("UPDATE `order` SET state = 'unpaid', capture_id = NULL WHERE order_num = ?", orderNum),
    }
  }),
  capture_without_order: Effect.gen(function* () {
    const { intents } = yield* Ledgers
    const orderNum = OrderNum.make(KEY, 1, { timeMs: Date.now(), productId: 77, generation: 1 })
    intents.set("pay_b", intent("pay_b", orderNum, [capture("cap_b", "applied")]))
    return { subject: `order:${orderNum}`, undo: Effect.sync(() => intents.delete("pay_b")) }
  }),
  money_mismatch: Effect.gen(function* () {
    const { intents } = yield* Ledgers
    const p = yield* onSale()
    const orderNum = yield* ordered(p, 1)
    yield* sql("UPDATE `order` SET state = 'paid', capture_id = 'cap_c' WHERE order_num = ?", orderNum)
    intents.set("pay_c", intent("pay_c", orderNum, [capture("cap_c", "applied", 9900n, 100n)]))
    return {
      subject: `order:${orderNum}`,
      undo: Effect.sync(() => intents.set("pay_c", intent("pay_c", orderNum, [capture("cap_c", "applied")]))),
    }
  }),
  capture_unanswered: Effect.gen(function* () {
    const { intents } = yield* Ledgers
    const p = yield* onSale()
    const orderNum = yield* ordered(p, 1)
    intents.set("pay_d", intent("pay_d", orderNum, [capture("cap_d", "new")]))
    return { subject: `order:${orderNum}`, undo: Effect.sync(() => intents.delete("pay_d")) }
  }),
  wallet_mismatch: Effect.gen(function* () {
    const { wallets } = yield* Ledgers
    wallets.set(5, { userId: 5n, balance: 100n, entriesTotal: 90n })
    return {
      subject: "user:5",
      undo: Effect.sync(() => wallets.set(5, { userId: 5n, balance: 100n, entriesTotal: 100n })),
    }
  }),
  debit_without_capture: Effect.gen(function* () {
    const { decisions } = yield* Ledgers
    const paymentId = "pay_e"
    decisions.set(paymentId, {
      paymentId,
      userId: 1n,
      outcome: WalletOutcome.DEBITED,
      amount: 9900n,
      ageMs: 3_600_000n,
    })
    return { subject: "payment:pay_e", undo: Effect.sync(() => decisions.delete(paymentId)) }
  }),
  capture_without_debit: Effect.gen(function* () {
    const { intents } = yield* Ledgers
    // A top-up's order number isn't one: only the wallet is asked.
    intents.set("pay_f", intent("pay_f", "", [capture("cap_f", "applied")], "balance"))
    return { subject: "payment:pay_f", undo: Effect.sync(() => intents.delete("pay_f")) }
  }),
}

describe("the reconciler", () => {
  layer(world, { excludeTestServices: true, timeout: "60 seconds" })((it) => {
    it.effect(
      "finds each kind of difference by its second look, repairs what may be, and sees it over",
      () =>
        Effect.gen(function* () {
          const drifts = yield* DriftStore
          const { rebuilt } = yield* Ledgers
          const { round } = yield* reconciler(impatient)
          const planted = new Map<DriftKind, Effect.Effect.Success<Plant>>()
          for (const [kind, plant] of Object.entries(plants)) {
            planted.set(kind as DriftKind, yield* plant)
          }
          yield* sent
          yield* grace

          const first = yield* round
          assert.isTrue(first.held && first.complete)
          assert.deepStrictEqual(first.confirmed, [])
          assert.deepStrictEqual(yield* open, [])

          const wrongInMysql = new Set(
            ["stock_equation", "stock_log_equation", "stock_negative", "purchase_equation"].map(
              (kind) => planted.get(kind as DriftKind)!.subject,
            ),
          )
          yield* round
          const found = yield* open
          for (const [kind, { subject }] of planted) {
            assert.isTrue(
              found.some((drift) => drift.kind === kind && drift.subject === subject),
              `${kind} ${subject} in ${JSON.stringify(found)}`,
            )
          }
          assert.strictEqual((yield* drifts.openCounts).get("wallet_mismatch"), 1)

          // What MySQL can judge was rebuilt at once; where MySQL itself is wrong nothing was.
          assert.isAbove(rebuilt.length, 0)
          for (const id of rebuilt) assert.isFalse(wrongInMysql.has(`product:${id}`))
          const [audited] = yield* query<{ n: number }>(
            "SELECT COUNT(*) AS n FROM audit WHERE action = 'shard.rebuild'",
          )
          assert.strictEqual(audited!.n, rebuilt.length)

          for (const { undo } of planted.values()) if (undo !== undefined) yield* undo
          yield* sent
          yield* grace
          yield* round
          yield* round
          // Where a person took MySQL's mistake back, Redis was left alone and is as it was.
          const left = (yield* open).map(({ kind, subject }) => `${kind} ${subject}`)
          assert.deepStrictEqual(left, [])
          const repaired = (yield* drifts.list).map(({ kind }) => kind)
          assert.includeMembers(repaired, Object.keys(plants) as ReadonlyArray<DriftKind> as Array<DriftKind>)
        }).pipe(Effect.scoped),
      60_000,
    )

    it.effect("an outbox that doesn't move is a finding, and silences what its events would explain", () =>
      Effect.gen(function* () {
        const ledgers = yield* Ledgers
        const { round } = yield* reconciler(impatient)
        const p = yield* onSale()
        const orderNum = yield* ordered(p, 1)
        yield* sql("UPDATE `order` SET state = 'paid', capture_id = 'cap_z' WHERE order_num = ?", orderNum)
        yield* sql(
          `INSERT INTO {inventory}.outbox (bucket, event_id, topic, aggregate, type, payload, created_at)
           VALUES (0, 'e', 't', 'a', 'x', '{}', UTC_TIMESTAMP(3) - INTERVAL 1 HOUR)`,
        )
        ledgers.outboxOldestMs = 3_600_000
        yield* grace
        yield* round
        yield* round
        const found = (yield* open).map(({ kind, subject }) => `${kind} ${subject}`)
        assert.includeMembers(found, [
          "outbox_stuck outbox:inventory",
          "outbox_stuck outbox:payment",
          "outbox_stuck outbox:ordering",
        ])
        assert.notInclude(found, `paid_without_capture order:${orderNum}`)

        yield* sent
        yield* sql("UPDATE {inventory}.outbox SET sent_at = UTC_TIMESTAMP(3)")
        ledgers.outboxOldestMs = 0
        yield* round
        yield* round
        assert.deepStrictEqual(
          (yield* open).map(({ kind, subject }) => `${kind} ${subject}`),
          [`paid_without_capture order:${orderNum}`],
        )
        yield* sql("UPDATE `order` SET state = 'unpaid', capture_id = NULL WHERE order_num = ?", orderNum)
        yield* grace
        yield* round
        assert.deepStrictEqual(yield* open, [])
      }).pipe(Effect.scoped),
    )

    it.effect(
      "a shard is rebuilt once in its pause, whoever holds the lease; one process looks at a time",
      () =>
        Effect.gen(function* () {
          const { rebuilt } = yield* Ledgers
          const p = yield* onSale()
          const before = rebuilt.length
          const worse = redis((c) => c.hincrby(keys.product(p.id), "stock", 7))
          const other = yield* reconciler(impatient)
          yield* Effect.gen(function* () {
            const { round } = yield* reconciler(impatient)
            yield* worse
            yield* round
            assert.isFalse((yield* other.round).held)
            yield* round
            assert.deepStrictEqual(rebuilt.slice(before), [p.id])
            yield* round
            assert.deepStrictEqual(yield* open, [])
          }).pipe(Effect.scoped)
          yield* worse
          assert.isTrue((yield* other.round).held)
          yield* other.round
          yield* other.round
          assert.deepStrictEqual(rebuilt.slice(before), [p.id])
          assert.deepStrictEqual(
            (yield* open).map(({ kind }) => kind),
            ["redis_above"],
          )
          yield* redis((c) => c.hincrby(keys.product(p.id), "stock", -7))
          yield* other.round
          assert.deepStrictEqual(yield* open, [])
        }).pipe(Effect.scoped),
    )

    it.effect("a Redis that doesn't answer ends its part of the round only, and closes nothing", () =>
      Effect.gen(function* () {
        const server = yield* TestRedis.TestRedisServer
        const ledgers = yield* Ledgers
        const { round } = yield* reconciler(impatient)
        ledgers.wallets.set(6, { userId: 6n, balance: 1n, entriesTotal: 0n })
        yield* server.pause
        const outcome = yield* Effect.zipRight(round, round).pipe(Effect.ensuring(server.resume))
        assert.isFalse(outcome.complete)
        assert.deepStrictEqual(
          outcome.confirmed.map(({ kind }) => kind),
          ["wallet_mismatch"],
        )
        ledgers.wallets.delete(6)
      }).pipe(Effect.scoped),
    )
  })

  layer(world, { excludeTestServices: true, timeout: "60 seconds" })((it) => {
    it.effect(
      "a busy, healthy sale raises no alarm",
      () =>
        Effect.gen(function* () {
          const ledgers = yield* Ledgers
          const cancels = yield* CancelStore
          const { round } = yield* reconciler({ share: 0, unmovedMs: 0, graceMs: 1_000, answerMs: 60_000 })
          const products = [yield* onSale(40), yield* onSale(200), yield* onSale(5)]
          const over = yield* Ref.make(false)
          const pick = <A>(all: ReadonlyArray<A>): A => all[Math.floor(Math.random() * all.length)]!
          const pause = (ms: number) => Effect.sleep(Math.random() * ms)
          // The workers repeat what two of them locked each other out of.
          const until = <E, R>(step: Effect.Effect<unknown, E, R>) =>
            step.pipe(retryConflicts, Effect.repeat({ until: () => Ref.get(over) }))
          let reserved = 0
          let userId = 0
          let adjustments = 0

          const buyer = Effect.gen(function* () {
            const p = pick(products)
            if ((yield* Sale.reserve(p.id, p.generation, ++userId, 1 + (userId % 2))) !== undefined)
              reserved++
            yield* pause(20)
          })
          const worker = (p: (typeof products)[number]) =>
            Effect.zipRight(Sale.createOrders(p.id), pause(120))
          /** Cancels some, pays others: money first at payment, then in the order, then the answer. */
          const customers = Effect.gen(function* () {
            const rows = yield* query<{ order_num: string; product_id: number; amount: number }>(
              "SELECT order_num, product_id, amount FROM `order` WHERE state = 'unpaid' ORDER BY RAND() LIMIT 3",
            )
            for (const row of rows) {
              if (Math.random() < 0.5) {
                yield* cancels.request({ orderNum: row.order_num, reason: "user", actorId: 1, note: "" })
                yield* cancels.finish([row])
                continue
              }
              const id = `pay_${row.order_num}`
              const money = { captureId: `cap_${row.order_num}`, amount: BigInt(row.amount), refunded: 0n }
              const paid = { ...intent(id, row.order_num, [{ ...money, state: "new" }]), ageMs: 0n }
              ledgers.intents.set(id, paid)
              yield* pause(20)
              yield* query(
                `UPDATE \`order\` FORCE INDEX (order_num) SET state = 'paid', capture_id = ?, version = version + 1, updated_at = UTC_TIMESTAMP(3)
                 WHERE order_num = ? AND state = 'unpaid'`,
                [money.captureId, row.order_num],
              )
              // Somebody else may have cancelled it meanwhile: then the money goes back.
              const [result] = yield* query<{ n: number }>(
                "SELECT COUNT(*) AS n FROM `order` WHERE order_num = ? AND capture_id = ?",
                [row.order_num, money.captureId],
              )
              if (result!.n === 0) {
                ledgers.intents.set(id, {
                  ...paid,
                  captures: [{ ...money, state: "refused", refunding: money.amount }],
                })
                yield* pause(20)
                ledgers.intents.set(id, {
                  ...paid,
                  captures: [{ ...money, state: "refused", refunded: money.amount }],
                })
                continue
              }
              yield* pause(20)
              ledgers.intents.set(id, {
                ...paid,
                captures: [{ ...money, state: "applied" }],
                ageMs: 3_600_000n,
              })
            }
            yield* pause(30)
          })
          /** What inventory does with the events: late, and one after the other. */
          const releases = Effect.gen(function* () {
            const rows = yield* query<{ id: number; payload: string }>(
              `SELECT id, payload FROM outbox WHERE sent_at IS NULL ORDER BY id LIMIT 20`,
            )
            yield* pause(60)
            for (const row of rows) {
              const event = JSON.parse(row.payload)
              if (event.type === "order.cancelled" || event.type === "order.rejected") {
                for (const change of event.changes) {
                  const p = products.find(({ id }) => id === change.product_id)!
                  yield* Sale.release(p.id, p.generation, change.user_id, change.order_num)
                }
              }
              yield* query("UPDATE outbox SET sent_at = UTC_TIMESTAMP(3) WHERE id = ?", [row.id])
            }
            if (rows.length === 0) yield* pause(20)
          })
          /** Stock up: MySQL, then Redis. Stock down: Redis, then MySQL. */
          const operator = Effect.gen(function* () {
            const p = pick(products)
            const id = `a${++adjustments}`
            const delta = adjustments % 2 === 0 ? 5 : -1
            const mysql = yield* Mysql
            const inMysql = (state: string) =>
              mysql.transaction(
                "test.adjust",
                Effect.gen(function* () {
                  yield* query("SELECT id FROM {inventory}.product WHERE id = ? FOR UPDATE", [p.id])
                  yield* query("UPDATE {inventory}.product SET stock = stock + ? WHERE id = ?", [delta, p.id])
                  yield* query(
                    "INSERT INTO {inventory}.stock_log (product_id, kind, ref, delta) VALUES (?, 'adjust', ?, ?)",
                    [p.id, id, delta],
                  )
                  yield* query("UPDATE {inventory}.stock_adjustment SET state = ? WHERE id = ?", [state, id])
                }),
              )
            yield* query(
              `INSERT INTO {inventory}.stock_adjustment
                (id, product_id, delta, body_hash, state, generation, actor_id, reason)
               VALUES (?, ?, ?, '', 'requested', ?, 1, '')`,
              [id, p.id, delta, p.generation],
            )
            if (delta > 0) {
              yield* inMysql("logged")
              yield* pause(50)
              yield* Sale.adjust(p.id, p.generation, id, delta)
            } else {
              const taken = yield* Sale.adjust(p.id, p.generation, id, delta)
              yield* pause(50)
              if (taken) yield* inMysql("logged")
            }
            yield* query("UPDATE {inventory}.stock_adjustment SET state = 'applied' WHERE id = ?", [id])
            yield* pause(100)
          })

          const rounds: Array<Reconciler.RoundResult> = []
          const looking = Effect.gen(function* () {
            rounds.push(yield* round)
            yield* pause(30)
          })
          const sale = Effect.all(
            [
              until(buyer),
              until(buyer),
              ...products.map((p) => until(worker(p))),
              until(customers),
              until(customers),
              until(releases),
              until(operator),
              until(looking),
            ],
            { concurrency: "unbounded", discard: true },
          )
          yield* Effect.forkScoped(Effect.delay(Ref.set(over, true), "8 seconds"))
          yield* sale
          for (const p of products) while ((yield* Sale.createOrders(p.id)) > 0);
          while ((yield* query("SELECT id FROM outbox WHERE sent_at IS NULL LIMIT 1")).length > 0)
            yield* releases
          yield* Effect.sleep("1100 millis")
          for (let n = 0; n < 3; n++) rounds.push(yield* round)

          assert.isAbove(reserved, 50)
          assert.isAtLeast(rounds.length, 5)
          assert.deepStrictEqual(
            rounds.flatMap(({ confirmed }) => confirmed),
            [],
          )
          assert.deepStrictEqual(yield* Effect.flatMap(DriftStore, (drifts) => drifts.list), [])
          assert.isTrue(rounds.at(-1)!.complete)
          assert.deepStrictEqual(ledgers.rebuilt, [])
        }).pipe(Effect.scoped),
      60_000,
    )
  })
})

assert.sameMembers([...Object.keys(plants), "outbox_stuck"], [...kinds])
assert.isTrue(kinds.every((kind) => facts[kind].equation !== ""))
