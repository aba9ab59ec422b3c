/** One's orders: read, pay, cancel. */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as OpenApi from "@effect/platform/OpenApi"
import { signedIn } from "./Auth.ts"
import { Envelope, Failure } from "./Envelope.ts"
import { OptionalKey, RequiredKey } from "./IdempotencyKey.ts"
import { ListOrdersQuery, Order, OrderNumPath } from "./Order.ts"
import { Page } from "./Page.ts"
import { NoFields, withOptionalBody } from "./Payload.ts"
import { Payment, PayPayload } from "./Payment.ts"

export const OrderApi = HttpApiGroup.make("orders")
  .add(
    HttpApiEndpoint.get("list", "/orders")
      .setUrlParams(ListOrdersQuery)
      .addSuccess(Envelope(Page(Order)))
      .middleware(signedIn)
      .annotate(OpenApi.Summary, "My orders, newest first"),
  )
  .add(
    HttpApiEndpoint.get("get", "/orders/:order_num")
      .setPath(OrderNumPath)
      .addSuccess(Envelope(Order))
      .addError(Failure("NOT_FOUND"))
      .middleware(signedIn)
      .annotate(OpenApi.Summary, "One order, from the moment the 202 was sent"),
  )
  .add(
    HttpApiEndpoint.post("pay", "/orders/:order_num/pay")
      .setPath(OrderNumPath)
      .setHeaders(RequiredKey)
      .setPayload(PayPayload)
      .addSuccess(Envelope(Payment))
      .addError(Failure("NOT_FOUND"))
      .addError(Failure("WRONG_STATE"))
      .addError(Failure("IDEMPOTENCY_MISMATCH"))
      .addError(Failure("IN_FLIGHT"))
      .addError(Failure("PAYMENT_DECLINED"))
      .middleware(signedIn)
      .annotate(OpenApi.Summary, "Pay an unpaid order"),
  )
  .add(
    HttpApiEndpoint.post("cancel", "/orders/:order_num/cancel")
      .setPath(OrderNumPath)
      .setHeaders(OptionalKey)
      .setPayload(NoFields)
      .addSuccess(Envelope(Order))
      .addError(Failure("NOT_FOUND"))
      .addError(Failure("WRONG_STATE"))
      .addError(Failure("IDEMPOTENCY_MISMATCH"))
      .addError(Failure("IN_FLIGHT"))
      .middleware(signedIn)
      .annotate(OpenApi.Summary, "Cancel an unpaid order")
      .annotate(OpenApi.Transform, withOptionalBody),
  )
