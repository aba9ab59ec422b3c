/** The console: what came, by which road, and what goes back. */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as OpenApi from "@effect/platform/OpenApi"
import * as Schema from "effect/Schema"
import { AdminList, withCsv } from "./AdminList.ts"
import { AdminPayment, ListPaymentsQuery, ListRefundsQuery, Refund, RefundPayload } from "./AdminPayment.ts"
import { permission } from "./Auth.ts"
import { Envelope, Failure } from "./Envelope.ts"
import { RequiredKey } from "./IdempotencyKey.ts"
import { OrderNumPath } from "./Order.ts"

export const AdminPaymentApi = HttpApiGroup.make("adminPayments")
  .add(
    HttpApiEndpoint.get("list", "/admin/payments")
      .setUrlParams(ListPaymentsQuery)
      .addSuccess(AdminList(AdminPayment))
      .middleware(permission("payment:read"))
      .annotate(OpenApi.Summary, "Payments, newest first")
      .annotate(OpenApi.Transform, withCsv),
  )
  .add(
    HttpApiEndpoint.get("get", "/admin/payments/:payment_id")
      .setPath(Schema.Struct({ payment_id: Schema.String }))
      .addSuccess(Envelope(AdminPayment))
      .addError(Failure("NOT_FOUND"))
      .middleware(permission("payment:read"))
      .annotate(OpenApi.Summary, "One payment, with what came by it and what went back"),
  )
  .add(
    HttpApiEndpoint.get("refunds", "/admin/refunds")
      .setUrlParams(ListRefundsQuery)
      .addSuccess(AdminList(Refund))
      .middleware(permission("payment:read"))
      .annotate(OpenApi.Summary, "Refunds, newest first")
      .annotate(OpenApi.Transform, withCsv),
  )
  .add(
    HttpApiEndpoint.post("refund", "/admin/orders/:order_num/refund")
      .setPath(OrderNumPath)
      .setHeaders(RequiredKey)
      .setPayload(RefundPayload)
      .addSuccess(Envelope(Refund))
      .addError(Failure("NOT_FOUND"))
      .addError(Failure("WRONG_STATE"))
      .addError(Failure("IDEMPOTENCY_MISMATCH"))
      .addError(Failure("IN_FLIGHT"))
      .middleware(permission("payment:write"))
      .annotate(
        OpenApi.Summary,
        "Give a paid order's money back; after a failed refund, try again. Goods stay where they are",
      ),
  )
