/**
 * Compares the stores for as long as the service runs. One process looks, under a lease in MySQL; what two looks in a
 * row find under the same versions is written down, told to a person, and, where it is safe, repaired.
 *
 * A round looks at products that moved, that were under suspicion or that sell now, and at a part of everything else, so
 * that everything is looked at again and again and no round is long. A store that doesn't answer ends its part of the
 * round only.
 */
import { randomUUID } from "node:crypto"
import type { IdentityClient } from "@floodgate/contracts/rpc/IdentityClient"
import { InventoryClient } from "@floodgate/contracts/rpc/InventoryClient"
import type { PaymentClient } from "@floodgate/contracts/rpc/PaymentClient"
import * as OrderNum from "@floodgate/contracts/sale/OrderNum"
import * as Sweep from "@floodgate/runtime/lifecycle/Sweep"
import type { MysqlError } from "@floodgate/runtime/mysql/MysqlError"
import { shardOf } from "@floodgate/runtime/redis/Shards"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import { BooksStore } from "./BooksStore.ts"
import { type Drift, DriftStore } from "./DriftStore.ts"
import { type DriftKind, type Finding, facts } from "./domain/DriftKind.ts"
import { judge, type Look, merge, over, type Suspects } from "./domain/Rounds.ts"
import * as MoneyLook from "./MoneyLook.ts"
import * as PipelineLook from "./PipelineLook.ts"
import type { SaleBooks } from "./SaleBooks.ts"
import { Settings } from "./Settings.ts"
import * as StockLook from "./StockLook.ts"

/** Products and orders of one round, by why they are looked at. */
const MOVED = 200
const ROTATING = 50
const NAMED = MoneyLook.PAGE
const ORDERS = 300

/** Products looked at side by side: each look holds one connection. */
const CONCURRENCY = 2

/** Products whose pace is remembered. */
const MAX_PACES = 20_000

/** One part of a round may take this long; the lease lasts longer. */
const PART_MS = 30_000

/** A rebuild takes up to 10 s for 10,000 orders. */
const REBUILD_MS = 30_000

/** While MySQL itself is wrong about a product, Redis must not be made equal to it. */
const mysqlIsWrong: ReadonlySet<DriftKind> = new Set([
  "stock_equation",
  "stock_log_equation",
  "stock_negative",
  "purchase_equation",
])

export interface RoundResult {
  /** False: another process looks. */
  readonly held: boolean
  /** It could read every store. */
  readonly complete: boolean
  readonly confirmed: ReadonlyArray<Finding>
}

type Stores = BooksStore | SaleBooks | IdentityClient | PaymentClient

interface Part {
  readonly look: Look
  readonly complete: boolean
}

const idsOf = (
  of: "product" | "order" | "payment" | "user",
  known: ReadonlyArray<{ readonly subject: string }>,
) => known.flatMap(({ subject }) => (subject.startsWith(`${of}:`) ? [subject.slice(of.length + 1)] : []))

export class Reconciler extends Context.Tag("@floodgate/ordering/reconcile/Reconciler")<
  Reconciler,
  {
    /** One round. Fails as `DriftStore`. */
    readonly round: Effect.Effect<RoundResult, MysqlError>
  }
>() {}

const make = Effect.gen(function* () {
  const settings = yield* Settings
  const books = yield* BooksStore
  const drifts = yield* DriftStore
  const inventory = yield* InventoryClient
  const context = yield* Effect.context<Stores>()
  const holder = randomUUID()
  yield* Effect.addFinalizer(() => Effect.ignore(drifts.giveUp(holder)))

  let suspects: Suspects = new Map()
  const paces = new Map<number, StockLook.Pace>()
  const cursors = { log: 0, live: 0, all: 0, told: 0, order: 0, ledger: "", decisions: "", wallets: "" }

  /** The next page of a rotation: after its end it begins anew. */
  const turn = Effect.fnUntraced(function* (which: "live" | "all") {
    const ids = yield* books.products(which, cursors[which], ROTATING)
    cursors[which] = ids.length < ROTATING ? 0 : ids[ids.length - 1]!
    return ids
  })

  const stock = Effect.fn("Reconciler.stock")(function* (open: ReadonlyArray<Drift>) {
    const known = [...suspects.values(), ...open]
    const moved = yield* books.moved(cursors.log)
    cursors.log = moved.newest
    const ids = new Set([
      ...known.flatMap(({ kind, productId }) =>
        productId !== undefined && facts[kind].repair !== "worker" ? [productId] : [],
      ),
      ...moved.productIds.slice(-MOVED),
      ...(yield* turn("live")),
      ...(yield* turn("all")),
    ])
    const oldestMs = yield* books.outboxOldestMs("ordering")
    let complete = true
    const looks = yield* Effect.forEach(
      [...ids].slice(0, NAMED),
      (id) =>
        StockLook.look(id, paces.get(id), settings, oldestMs).pipe(
          Effect.map(({ look, pace }) => {
            paces.delete(id)
            if (pace !== undefined) paces.set(id, pace)
            return look
          }),
          // A product that is locked or a Redis that is away is looked at again; others may be well.
          Effect.catchAll((error) =>
            Effect.zipRight(
              Effect.logDebug("a product couldn't be looked at", error).pipe(
                Effect.annotateLogs({ product_id: id }),
              ),
              Effect.sync((): Look => {
                complete = false
                return { findings: [], scopes: [] }
              }),
            ),
          ),
        ),
      { concurrency: CONCURRENCY },
    )
    for (const id of paces.keys()) {
      if (paces.size <= MAX_PACES) break
      paces.delete(id)
    }
    return { look: merge([...looks, PipelineLook.outboxOf("ordering", oldestMs, settings)]), complete }
  })

  const money = Effect.fn("Reconciler.money")(function* (open: ReadonlyArray<Drift>) {
    const known = [...suspects.values(), ...open]
    const told = yield* books.told(cursors.told, NAMED)
    cursors.told = told.newest
    const page = yield* books.orders(cursors.order, ORDERS)
    cursors.order = page.length < ORDERS ? 0 : page[page.length - 1]!.id
    const ledger = yield* MoneyLook.ledgerPage(cursors.ledger, settings)
    cursors.ledger = ledger.next
    const orderNums = new Set(
      [
        ...idsOf("order", known),
        ...told.orderNums,
        ...ledger.orderNums,
        ...page.map(({ orderNum }) => orderNum),
      ].filter((orderNum) => OrderNum.parse(orderNum) !== undefined),
    )
    const ownOldestMs = yield* books.outboxOldestMs("ordering")
    const all = [...orderNums]
    const looks: Array<Look> = []
    for (let from = 0; from < all.length; from += MoneyLook.PAGE) {
      looks.push(yield* MoneyLook.orders(all.slice(from, from + MoneyLook.PAGE), settings, ownOldestMs))
    }
    looks.push(yield* MoneyLook.debits(idsOf("payment", known).slice(0, NAMED), settings))
    const payments = PipelineLook.outboxOf("payment", ledger.outboxOldestMs, settings)
    return { look: merge([...looks, ledger.look, payments]), complete: true }
  })

  const wallets = Effect.fn("Reconciler.wallets")(function* (open: ReadonlyArray<Drift>) {
    const known = [...suspects.values(), ...open]
    const page = yield* MoneyLook.wallets({ token: cursors.wallets })
    cursors.wallets = page.next
    const userIds = [...new Set(idsOf("user", known))].map(Number).slice(0, NAMED)
    const named = userIds.length === 0 ? [] : [(yield* MoneyLook.wallets({ userIds })).look]
    const decisions = yield* MoneyLook.decisionPage(cursors.decisions, settings)
    cursors.decisions = decisions.next
    return { look: merge([page.look, ...named, decisions.look]), complete: true }
  })

  const pipelines = Effect.fn("Reconciler.pipelines")(function* () {
    return {
      look: merge([yield* PipelineLook.inMysql(settings), yield* PipelineLook.inStreams(settings)]),
      complete: true,
    }
  })

  /** Rebuilds the shards whose Redis isn't what MySQL says, where MySQL is right. */
  const repair = Effect.fn("Reconciler.repair")(function* (
    confirmed: ReadonlyArray<Finding>,
    open: ReadonlyArray<Drift>,
  ) {
    const byProduct = new Map<number, Array<Finding>>()
    for (const finding of confirmed) {
      if (facts[finding.kind].repair !== "rebuild" || finding.productId === undefined) continue
      byProduct.set(finding.productId, [...(byProduct.get(finding.productId) ?? []), finding])
    }
    const wrong = new Set(
      [...open, ...confirmed].filter((d) => mysqlIsWrong.has(d.kind)).map((d) => d.productId),
    )
    for (const [productId, findings] of byProduct) {
      if (wrong.has(productId)) continue
      const shard = shardOf(productId)
      const kinds = [...new Set(findings.map(({ kind }) => kind))].join(", ")
      const reason = `Redis and MySQL differ: ${kinds}`
      const claimed = yield* drifts.claimRepair({
        shard,
        productId,
        pauseMs: settings.repairPauseMs,
        reason,
        findings,
      })
      if (!claimed) continue
      yield* Effect.logError("reconciliation: a shard is rebuilt from MySQL").pipe(
        Effect.annotateLogs({ product_id: productId, shard, kinds }),
      )
      yield* inventory
        .rebuildProduct(
          { productId: BigInt(productId), reason, requestId: `reconcile-${randomUUID()}` },
          { deadlineMs: REBUILD_MS },
        )
        .pipe(
          Effect.catchAll((error) =>
            Effect.logError("reconciliation: a shard could not be rebuilt", error).pipe(
              Effect.annotateLogs({ product_id: productId, shard }),
            ),
          ),
        )
    }
  })

  const tell = (finding: Finding) =>
    Effect.logError("reconciliation: the stores differ").pipe(
      Effect.annotateLogs({
        kind: finding.kind,
        subject: finding.subject,
        repair: facts[finding.kind].repair,
        ...(finding.redis === undefined ? {} : { redis: finding.redis }),
        ...(finding.mysql === undefined ? {} : { mysql: finding.mysql }),
        ...(finding.ledger === undefined ? {} : { ledger: finding.ledger }),
      }),
    )

  const round = Effect.gen(function* () {
    if (!(yield* drifts.hold(holder))) {
      // Whoever looks now has suspects of its own: two looks in a row are two of one process.
      suspects = new Map()
      paces.clear()
      return { held: false, complete: false, confirmed: [] } satisfies RoundResult
    }
    const open = yield* drifts.open
    const looks: Array<Look> = []
    let complete = true
    const parts: ReadonlyArray<Effect.Effect<Part, unknown, Stores>> = [
      stock(open),
      money(open),
      wallets(open),
      pipelines(),
    ]
    for (const part of parts) {
      if (!(yield* drifts.hold(holder)))
        return { held: false, complete: false, confirmed: [] } satisfies RoundResult
      const outcome = yield* Effect.either(
        part.pipe(
          Effect.provide(context),
          Effect.timeoutFail({
            duration: PART_MS,
            onTimeout: () => new Error(`a part of the round took over ${PART_MS} ms`),
          }),
        ),
      )
      if (Either.isRight(outcome)) {
        looks.push(outcome.right.look)
        complete &&= outcome.right.complete
      } else {
        complete = false
        yield* Effect.logDebug("a part of the reconciliation could not look", outcome.left)
      }
    }
    const look = merge(looks)
    const judged = judge(suspects, look)
    suspects = judged.suspects
    const fresh = yield* drifts.record(judged.confirmed)
    yield* Effect.forEach(fresh, tell, { discard: true })
    const ended = over(open, look)
    yield* drifts.settle(ended.map(({ id }) => id))
    yield* Effect.forEach(
      ended,
      ({ kind, subject }) =>
        Effect.logWarning("reconciliation: the stores agree again").pipe(
          Effect.annotateLogs({ kind, subject }),
        ),
      { discard: true },
    )
    yield* drifts.finish(holder, complete)
    yield* repair(judged.confirmed, open)
    return { held: true, complete, confirmed: judged.confirmed } satisfies RoundResult
  }).pipe(Effect.withSpan("Reconciler.round"))

  return Reconciler.of({ round })
})

/** A reconciler that goes round when it is told to. */
export const service: Layer.Layer<
  Reconciler,
  never,
  Settings | BooksStore | DriftStore | SaleBooks | InventoryClient | IdentityClient | PaymentClient
> = Layer.scoped(Reconciler, make)

/** Goes round while the scope is open. */
export const layer: Layer.Layer<never, never, Reconciler | Settings> = Layer.scopedDiscard(
  Effect.gen(function* () {
    const { everyMs } = yield* Settings
    const { round } = yield* Reconciler
    yield* Sweep.make({ name: "reconciliation", everyMs, maxPages: 1, page: Effect.as(round, false) })
  }),
)
