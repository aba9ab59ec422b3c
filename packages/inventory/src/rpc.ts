/** The gRPC face of inventory: thin, from messages to the catalog, publishing and the reservations, and back. */
import { InvalidInput } from "@floodgate/contracts/errors/Errors"
import {
  ProductStatus,
  ReservationState,
  type UpdateProductRequest,
} from "@floodgate/contracts/gen/floodgate/inventory/v1/inventory_pb"
import { InventoryRpc } from "@floodgate/contracts/rpc/Services"
import { ProductBounds } from "@floodgate/contracts/sale/ProductBounds"
import * as Audit from "@floodgate/runtime/audit/Audit"
import * as AuditList from "@floodgate/runtime/audit/AuditList"
import * as CallerAccess from "@floodgate/runtime/grpc/CallerAccess"
import * as GrpcServer from "@floodgate/runtime/grpc/GrpcServer"
import * as Vitals from "@floodgate/runtime/metrics/Vitals"
import { orBusy } from "@floodgate/runtime/resilience/OrBusy"
import * as Effect from "effect/Effect"
import { Catalog, type Managed, type Shown } from "./Catalog.ts"
import type { Edit, Product, ProductStatus as Status } from "./domain/Product.ts"
import { Editing } from "./Editing.ts"
import { Gallery } from "./media/Gallery.ts"
import { ProductChecks } from "./ProductChecks.ts"
import { Publishing } from "./Publishing.ts"
import { Rebuild } from "./Rebuild.ts"
import * as ReserveRpc from "./ReserveRpc.ts"
import { Sale } from "./Sale.ts"
import { SalePause } from "./SalePause.ts"
import { Stock } from "./Stock.ts"
import type { SaleSwitch } from "./store/SaleSwitchStore.ts"
import { StockStore } from "./store/StockStore.ts"

const statuses: Record<Status, ProductStatus> = {
  draft: ProductStatus.DRAFT,
  upcoming: ProductStatus.UPCOMING,
  live: ProductStatus.LIVE,
  sold_out: ProductStatus.SOLD_OUT,
  ended: ProductStatus.ENDED,
  withdrawn: ProductStatus.WITHDRAWN,
}

const statusOf = (wire: ProductStatus): Status | undefined =>
  (Object.keys(statuses) as ReadonlyArray<Status>).find((name) => statuses[name] === wire)

const reservationStates = {
  none: ReservationState.NONE,
  live: ReservationState.LIVE,
  released: ReservationState.RELEASED,
} as const

const hidden: ReadonlySet<Status | undefined> = new Set<Status>(["draft", "withdrawn"])

/** The most products one answer holds. */
const MAX_PAGE = 100
const MAX_IDS = 500

const message = ({ product, stock, status }: Shown, replayed = false) => ({
  id: BigInt(product.id),
  name: product.name,
  description: product.description,
  price: BigInt(product.price),
  originalPrice: BigInt(product.originalPrice ?? 0),
  currency: product.currency,
  stock: BigInt(stock),
  initialStock: BigInt(product.initialStock),
  startTimeMs: BigInt(product.startTimeMs),
  endTimeMs: BigInt(product.endTimeMs ?? 0),
  perUserLimit: product.perUserLimit,
  image: product.image,
  status: statuses[status],
  access: { challenge: product.accessChallenge, waitingRoom: product.accessWaitingRoom },
  generation: product.generation,
  version: BigInt(product.version),
  createdAtMs: BigInt(product.createdAtMs),
  updatedAtMs: BigInt(product.updatedAtMs),
  replayed,
})

const shownMessage = (product: Product, replayed = false) =>
  Effect.map(
    Effect.flatMap(Catalog, (catalog) => catalog.show([product])),
    ([shown]) => message(shown!, replayed),
  )

const managedMessage = ({ adjusted, shown, unfinished }: Managed) => ({
  product: message(shown),
  publisherId: BigInt(shown.product.publisherId),
  remaining: BigInt(shown.product.stock),
  adjusted: BigInt(adjusted),
  unfinishedAdjustments: unfinished,
})

const switchMessage = (sale: SaleSwitch) => ({
  paused: sale.paused,
  revision: BigInt(sale.revision),
  reason: sale.reason,
  changedBy: BigInt(sale.actorId),
  changedAtMs: BigInt(sale.changedAtMs),
})

/** In whose name it is done, and why. */
const commandOf = (
  { reason, requestId }: { readonly reason: string; readonly requestId: string },
  { caller }: Pick<GrpcServer.CallContext, "caller">,
) => ({ actorId: caller?.user_id ?? Audit.SYSTEM, reason, requestId })

const pageSizeOf = (wanted: number) => Math.min(Math.max(wanted, 1), MAX_PAGE)

/** A page token of the stock log: the id of its last row. */
const logToken = (id: number) => Buffer.from(`s${id}`).toString("base64url")

const logPlace = (token: string): Effect.Effect<number | undefined, InvalidInput> => {
  if (token === "") return Effect.succeed(undefined)
  const [, id] = /^s([1-9]\d{0,15})$/.exec(Buffer.from(token, "base64url").toString("latin1")) ?? []
  return id === undefined
    ? Effect.fail(InvalidInput.at("page_token", "is not a cursor of this list"))
    : Effect.succeed(Number(id))
}

const numberOrNull = (n: bigint): number | null => (n === 0n ? null : Number(n))

const editOf = (request: UpdateProductRequest): Edit => ({
  ...(request.name === undefined ? {} : { name: request.name }),
  ...(request.description === undefined ? {} : { description: request.description }),
  ...(request.image === undefined ? {} : { image: request.image }),
  ...(request.originalPrice === undefined ? {} : { originalPrice: numberOrNull(request.originalPrice) }),
  ...(request.challenge === undefined ? {} : { accessChallenge: request.challenge }),
  ...(request.waitingRoom === undefined ? {} : { accessWaitingRoom: request.waitingRoom }),
  ...(request.price === undefined ? {} : { price: Number(request.price) }),
  ...(request.startTimeMs === undefined ? {} : { startTimeMs: Number(request.startTimeMs) }),
  ...(request.endTimeMs === undefined ? {} : { endTimeMs: numberOrNull(request.endTimeMs) }),
  ...(request.perUserLimit === undefined ? {} : { perUserLimit: request.perUserLimit }),
})

export const rpc = GrpcServer.service(InventoryRpc, {
  createProduct: Effect.fnUntraced(function* (request, context) {
    yield* CallerAccess.requirePermission(context, "product:write")
    const { product, replayed } = yield* (yield* Publishing)
      .publish(
        {
          name: request.name,
          description: request.description,
          price: Number(request.price),
          originalPrice: request.originalPrice === 0n ? null : Number(request.originalPrice),
          stock: Number(request.stock),
          startTimeMs: Number(request.startTimeMs),
          endTimeMs: request.endTimeMs === 0n ? null : Number(request.endTimeMs),
          perUserLimit: request.perUserLimit,
          image: request.image,
          accessChallenge: request.access?.challenge ?? false,
          accessWaitingRoom: request.access?.waitingRoom ?? false,
          // Whoever publishes does so in their own name.
          publisherId: context.caller?.user_id ?? Number(request.publisherId),
        },
        request.idempotencyKey,
        request.bodyHash,
      )
      .pipe(orBusy)
    return yield* shownMessage(product, replayed)
  }),

  getProduct: Effect.fnUntraced(function* (request) {
    return message(yield* (yield* Catalog).get(Number(request.productId)).pipe(orBusy))
  }),

  batchGetProducts: Effect.fnUntraced(function* (request) {
    if (request.productIds.length > MAX_IDS)
      return yield* InvalidInput.at("product_ids", `at most ${MAX_IDS}`)
    const shown = yield* (yield* Catalog).getMany(request.productIds.map(Number)).pipe(orBusy)
    return { products: shown.map((s) => message(s)) }
  }),

  listProducts: Effect.fnUntraced(function* (request) {
    const status = statusOf(request.status)
    if (hidden.has(status) && !request.includeHidden) return { products: [], nextPageToken: "" }
    const size = Math.min(Math.max(request.pageSize, 1), MAX_PAGE)
    const page = yield* (yield* Catalog).list(status, size, request.pageToken).pipe(orBusy)
    return { products: page.items.map((s) => message(s)), nextPageToken: page.nextPageToken }
  }),

  warmUp: Effect.fnUntraced(function* (request, context) {
    yield* CallerAccess.requirePermission(context, "product:write")
    const product = yield* (yield* Publishing)
      .warmUp(Number(request.productId), context.caller?.user_id ?? Audit.SYSTEM, request.reason)
      .pipe(orBusy)
    return yield* shownMessage(product)
  }),

  ...ReserveRpc.handlers,

  getReservation: Effect.fnUntraced(function* (request) {
    const { fields, view, product } = yield* (yield* Sale)
      .lookUp(request.orderNum, Number(request.userId))
      .pipe(orBusy)
    return {
      orderNum: request.orderNum,
      userId: request.userId,
      productId: BigInt(fields.productId),
      generation: fields.generation,
      currentGeneration: Math.max(view.generation, product.generation),
      state: reservationStates[view.state],
      quantity: view.quantity,
      price: BigInt(view.price),
      productName: product.name,
      reservedAtMs: BigInt(fields.timeMs),
      serverTimeMs: BigInt(view.server_time_ms),
    }
  }),

  getManagedProduct: Effect.fnUntraced(function* (request, context) {
    yield* CallerAccess.requirePermission(context, "product:read")
    return managedMessage(yield* (yield* Catalog).getManaged(Number(request.productId)).pipe(orBusy))
  }),

  listManagedProducts: Effect.fnUntraced(function* (request, context) {
    yield* CallerAccess.requirePermission(context, "product:read")
    const page = yield* (yield* Catalog)
      .listManaged(
        {
          status: statusOf(request.status),
          q: request.q,
          fromMs: Number(request.fromMs),
          toMs: Number(request.toMs),
        },
        pageSizeOf(request.pageSize),
        request.pageToken,
      )
      .pipe(orBusy)
    return { products: page.items.map(managedMessage), nextPageToken: page.nextPageToken }
  }),

  updateProduct: Effect.fnUntraced(function* (request, context) {
    yield* CallerAccess.requirePermission(context, "product:write")
    const product = yield* (yield* Editing)
      .edit(
        Number(request.productId),
        editOf(request),
        request.version === 0n ? undefined : Number(request.version),
        commandOf(request, context),
      )
      .pipe(orBusy)
    return yield* shownMessage(product)
  }),

  withdrawProduct: Effect.fnUntraced(function* (request, context) {
    yield* CallerAccess.requirePermission(context, "product:write")
    const product = yield* (yield* Editing)
      .withdraw(Number(request.productId), commandOf(request, context))
      .pipe(orBusy)
    return yield* shownMessage(product)
  }),

  rebuildProduct: Effect.fnUntraced(function* (request, context) {
    yield* CallerAccess.requirePermission(context, "product:write")
    const { epoch, open, shard } = yield* (yield* Rebuild)
      .rebuild(Number(request.productId), commandOf(request, context))
      .pipe(orBusy)
    return { shard, epoch: BigInt(epoch), open }
  }),

  cloneProduct: Effect.fnUntraced(function* (request, context) {
    yield* CallerAccess.requirePermission(context, "product:write")
    const { product, replayed } = yield* (yield* Publishing)
      .clone(
        Number(request.productId),
        {
          startTimeMs: Number(request.startTimeMs),
          endTimeMs: numberOrNull(request.endTimeMs),
          publisherId: context.caller?.user_id ?? Audit.SYSTEM,
          ...(request.name === "" ? {} : { name: request.name }),
          ...(request.stock === 0n ? {} : { stock: Number(request.stock) }),
        },
        { reason: request.reason, idempotencyKey: request.idempotencyKey, bodyHash: request.bodyHash },
      )
      .pipe(orBusy)
    return yield* shownMessage(product, replayed)
  }),

  getProductReadiness: Effect.fnUntraced(function* (request, context) {
    yield* CallerAccess.requirePermission(context, "product:read")
    return { checks: [...(yield* (yield* ProductChecks).check(Number(request.productId)).pipe(orBusy))] }
  }),

  changeStock: Effect.fnUntraced(function* (request, context) {
    yield* CallerAccess.requirePermission(context, "stock:write")
    const delta = Number(request.delta)
    if (delta === 0 || Math.abs(delta) > ProductBounds.stock) {
      return yield* InvalidInput.at("delta", `must be a whole number up to ${ProductBounds.stock}, and not 0`)
    }
    if (!/^[\x21-\x7e]{1,64}$/.test(request.adjustmentId)) {
      return yield* InvalidInput.at("adjustment_id", "must be 1 to 64 characters of ASCII")
    }
    const { replayed, shown } = yield* (yield* Stock)
      .change({
        id: request.adjustmentId,
        productId: Number(request.productId),
        delta,
        actorId: context.caller?.user_id ?? Audit.SYSTEM,
        reason: request.reason,
        bodyHash: request.bodyHash,
      })
      .pipe(orBusy)
    return message(shown, replayed)
  }),

  listStockLog: Effect.fnUntraced(function* (request, context) {
    yield* CallerAccess.requirePermission(context, "stock:read")
    const size = pageSizeOf(request.pageSize)
    const rows = yield* (yield* StockStore)
      .log({
        productId: Number(request.productId),
        kind: request.kind,
        fromMs: Number(request.fromMs),
        toMs: Number(request.toMs),
        beforeId: yield* logPlace(request.pageToken),
        limit: size + 1,
      })
      .pipe(orBusy)
    const page = rows.slice(0, size)
    return {
      entries: page.map((row) => ({
        id: BigInt(row.id),
        productId: BigInt(row.productId),
        kind: row.kind,
        ref: row.ref,
        delta: BigInt(row.delta),
        reason: row.reason ?? "",
        actorId: BigInt(row.actorId ?? 0),
        createdAtMs: BigInt(row.createdAtMs),
      })),
      nextPageToken: rows.length > size ? logToken(page.at(-1)!.id) : "",
    }
  }),

  getSaleSwitch: Effect.fnUntraced(function* (_request, context) {
    yield* CallerAccess.requirePermission(context, "sale:read")
    return switchMessage(yield* (yield* SalePause).read.pipe(orBusy))
  }),

  setSaleSwitch: Effect.fnUntraced(function* (request, context) {
    yield* CallerAccess.requirePermission(context, "sale:write")
    const sale = yield* (yield* SalePause)
      .set({ paused: request.paused, ...commandOf(request, context) })
      .pipe(orBusy)
    return switchMessage(sale)
  }),

  uploadMedia: Effect.fnUntraced(function* (request, context) {
    yield* CallerAccess.requirePermission(context, "product:write")
    const { bytes, ...stored } = yield* (yield* Gallery)
      .store(request.file, commandOf(request, context))
      .pipe(orBusy)
    return { ...stored, bytes: BigInt(bytes) }
  }),

  listAudit: AuditList.handler,

  getVitals: Vitals.handler,
})
