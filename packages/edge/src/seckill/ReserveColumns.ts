/** A batch of one product as inventory takes it, in columns, and its answer as each item's outcome. */
import type { MessageInitShape } from "@bufbuild/protobuf"
import type {
  ReserveBatchRequestSchema,
  ReserveBatchResponse,
} from "@floodgate/contracts/gen/floodgate/inventory/v1/inventory_pb"
import { ReserveCode } from "@floodgate/contracts/sale/ReserveCode"
import { notExecuted, type ReserveOutcome, unknown } from "./ReserveAnswer.ts"

export interface Column {
  readonly userId: number
  readonly quantity: number
  readonly requestId: string
  /** W3C, where the request's trace is recorded. */
  readonly traceparent: string | undefined
  /** By this process's clock, Unix ms. */
  readonly expiresMs: number
}

/** `aheadMs`: how far the clock that decides is ahead of ours. */
export const encode = (
  productId: number,
  items: ReadonlyArray<Column>,
  aheadMs: number,
): MessageInitShape<typeof ReserveBatchRequestSchema> => {
  const notAfterMs: Array<bigint> = []
  const tracedItem: Array<number> = []
  const traceparent: Array<string> = []
  items.forEach((item, i) => {
    notAfterMs.push(BigInt(item.expiresMs + aheadMs))
    if (item.traceparent !== undefined) {
      tracedItem.push(i)
      traceparent.push(item.traceparent)
    }
  })
  return {
    productId: BigInt(productId),
    userId: items.map((item) => BigInt(item.userId)),
    quantity: items.map((item) => item.quantity),
    requestId: items.map((item) => item.requestId),
    notAfterMs,
    tracedItem,
    traceparent,
  }
}

/** What each of `count` items was answered; unknown where there is no answer. */
export const decode = (
  response: ReserveBatchResponse | undefined,
  count: number,
): ReadonlyArray<ReserveOutcome> => {
  const outcomes: Array<ReserveOutcome> = []
  let boughtAt = 0
  for (let i = 0; i < count; i++) {
    const code = response?.code[i]
    if (response === undefined || code === undefined) {
      outcomes.push(unknown)
      continue
    }
    const live = code === ReserveCode.ALREADY_BOUGHT ? response.liveOrderNums[boughtAt++] : undefined
    outcomes.push({
      code,
      orderNum: response.orderNum[i] ?? "",
      detail: Number(response.detail[i] ?? 0n),
      liveOrderNums: live === undefined || live === "" ? notExecuted.liveOrderNums : live.split(","),
    })
  }
  return outcomes
}
