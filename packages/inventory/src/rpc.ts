/** The gRPC face of inventory: thin, from messages to the catalog, publishing and the reservations, and back. */
import { InvalidInput } from "@floodgate/contracts/errors/Errors"
import { ProductStatus, ReservationState } from "@floodgate/contracts/gen/floodgate/inventory/v1/inventory_pb"
import { InventoryRpc } from "@floodgate/contracts/rpc/Services"
import * as Audit from "@floodgate/runtime/audit/Audit"
import * as AuditList from "@floodgate/runtime/audit/AuditList"
import * as CallerAccess from "@floodgate/runtime/grpc/CallerAccess"
import * as GrpcServer from "@floodgate/runtime/grpc/GrpcServer"
import { orBusy } from "@floodgate/runtime/resilience/OrBusy"
import * as Effect from "effect/Effect"
import { Catalog, type Shown } from "./Catalog.ts"
import type { ProductStatus as Status } from "./domain/Product.ts"
import { Publishing } from "./Publishing.ts"
import { Sale } from "./Sale.ts"

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
    const [shown] = yield* (yield* Catalog).show([product])
    return message(shown!, replayed)
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
      .warmUp(Number(request.productId), context.caller?.user_id ?? Audit.SYSTEM)
      .pipe(orBusy)
    const [shown] = yield* (yield* Catalog).show([product])
    return message(shown!)
  }),

  reserveBatch: Effect.fnUntraced(function* (request) {
    const answers = yield* (yield* Sale).reserve({
      product_id: Number(request.productId),
      user_ids: request.userId.map(Number),
      quantities: request.quantity,
      request_ids: request.requestId,
      not_after_ms: request.notAfterMs.map(Number),
      traced_items: request.tracedItem,
      traceparents: request.traceparent,
    })
    return {
      code: answers.codes,
      orderNum: answers.order_nums,
      detail: answers.details.map(BigInt),
      liveOrderNums: answers.live_order_nums,
      serverTimeMs: BigInt(answers.server_time_ms),
      stock: BigInt(answers.stock),
      stockVersion: BigInt(answers.stock_version),
    }
  }),

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

  listAudit: AuditList.handler,
})
