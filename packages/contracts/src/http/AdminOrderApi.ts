/** The console: everybody's orders. */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as OpenApi from "@effect/platform/OpenApi"
import { AdminList, withCsv } from "./AdminList.ts"
import { CancelOrderPayload, ListAdminOrdersQuery } from "./AdminOrder.ts"
import { permission } from "./Auth.ts"
import { Envelope, Failure } from "./Envelope.ts"
import { OptionalKey } from "./IdempotencyKey.ts"
import { Order, OrderNumPath } from "./Order.ts"

export const AdminOrderApi = HttpApiGroup.make("adminOrders")
  .add(
    HttpApiEndpoint.get("list", "/admin/orders")
      .setUrlParams(ListAdminOrdersQuery)
      .addSuccess(AdminList(Order))
      .middleware(permission("order:read"))
      .annotate(OpenApi.Summary, "Orders of everybody, newest first")
      .annotate(OpenApi.Transform, withCsv),
  )
  .add(
    HttpApiEndpoint.get("get", "/admin/orders/:order_num")
      .setPath(OrderNumPath)
      .addSuccess(Envelope(Order))
      .addError(Failure("NOT_FOUND"))
      .middleware(permission("order:read"))
      .annotate(OpenApi.Summary, "One order, once it is decided"),
  )
  .add(
    HttpApiEndpoint.post("cancel", "/admin/orders/:order_num/cancel")
      .setPath(OrderNumPath)
      .setHeaders(OptionalKey)
      .setPayload(CancelOrderPayload)
      .addSuccess(Envelope(Order))
      .addError(Failure("NOT_FOUND"))
      .addError(Failure("WRONG_STATE"))
      .addError(Failure("IDEMPOTENCY_MISMATCH"))
      .addError(Failure("IN_FLIGHT"))
      .middleware(permission("order:write"))
      .annotate(
        OpenApi.Summary,
        "Cancel an unpaid order: its stock goes back, money that still comes does too",
      ),
  )
