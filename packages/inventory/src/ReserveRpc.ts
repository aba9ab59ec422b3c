/** Reservations over gRPC: one batch or several, from their columns and back. */
import type { MessageInitShape } from "@bufbuild/protobuf"
import { InvalidInput } from "@floodgate/contracts/errors/Errors"
import type {
  ReserveBatchRequest,
  ReserveBatchResponseSchema,
} from "@floodgate/contracts/gen/floodgate/inventory/v1/inventory_pb"
import type { InventoryRpc } from "@floodgate/contracts/rpc/Services"
import { MAX_BATCH } from "@floodgate/contracts/sale/ReserveCode"
import type * as GrpcServer from "@floodgate/runtime/grpc/GrpcServer"
import * as Effect from "effect/Effect"
import { problemOf, type ReservationAnswers, type ReservationBatch } from "./domain/Reservation.ts"
import { Sale } from "./Sale.ts"

const batchOf = (request: ReserveBatchRequest): ReservationBatch => ({
  product_id: Number(request.productId),
  user_ids: request.userId.map(Number),
  quantities: request.quantity,
  request_ids: request.requestId,
  not_after_ms: request.notAfterMs.map(Number),
  traced_items: request.tracedItem,
  traceparents: request.traceparent,
})

const answersMessage = (
  answers: ReservationAnswers,
): MessageInitShape<typeof ReserveBatchResponseSchema> => ({
  code: [...answers.codes],
  orderNum: [...answers.order_nums],
  detail: answers.details.map(BigInt),
  liveOrderNums: [...answers.live_order_nums],
  serverTimeMs: BigInt(answers.server_time_ms),
  stock: BigInt(answers.stock),
  stockVersion: BigInt(answers.stock_version),
})

export const handlers: Pick<
  GrpcServer.Handlers<typeof InventoryRpc, Sale>,
  "reserveBatch" | "reserveBatches"
> = {
  reserveBatch: Effect.fnUntraced(function* (request) {
    return answersMessage(yield* (yield* Sale).reserve(batchOf(request)))
  }),

  reserveBatches: Effect.fnUntraced(function* (request) {
    const sale = yield* Sale
    const batches = request.batches.map(batchOf)
    const items = batches.reduce((sum, batch) => sum + batch.user_ids.length, 0)
    if (items === 0 || items > MAX_BATCH) {
      return yield* InvalidInput.at("batches", `must hold 1 to ${MAX_BATCH} items in all`)
    }
    for (const [i, batch] of batches.entries()) {
      const problem = problemOf(batch)
      if (problem !== undefined)
        return yield* InvalidInput.at(`batches.${i}.${problem.path}`, problem.message)
    }
    const answers = yield* Effect.forEach(batches, sale.reserve, { concurrency: "unbounded" })
    return { batches: answers.map(answersMessage) }
  }),
}
