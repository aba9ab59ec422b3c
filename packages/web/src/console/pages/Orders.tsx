/** Everybody's orders: found, cancelled, refunded. */
import { unwrap } from "@floodgate/client/Client"
import type { components } from "@floodgate/client/gen/Api"
import { client } from "../../session/Session.ts"
import type { Action } from "../parts/Action.tsx"
import { Also } from "../parts/Also.tsx"
import { ListPage } from "../parts/ListPage.tsx"

type Order = components["schemas"]["Order"]

const states = ["unpaid", "paid", "cancelled", "rejected", "refunding", "refunded"]

const actions: ReadonlyArray<Action<Order>> = [
  {
    name: "cancelOrder",
    permission: "order:write",
    danger: true,
    when: ({ state }) => state === "unpaid",
    run: ({ order_num }, { reason }, key) =>
      unwrap(
        client.http.POST("/admin/orders/{order_num}/cancel", {
          params: { path: { order_num }, header: { "idempotency-key": key } },
          body: { reason },
        }),
      ),
  },
  {
    name: "refundOrder",
    permission: "payment:write",
    danger: true,
    when: ({ refund, state }) => state === "paid" || refund?.status === "failed",
    run: ({ order_num }, { reason }, key) =>
      unwrap(
        client.http.POST("/admin/orders/{order_num}/refund", {
          params: { path: { order_num }, header: { "idempotency-key": key } },
          body: { reason },
        }),
      ),
  },
]

const More = ({ row: { order_num } }: { readonly row: Order }) => (
  <Also
    links={[
      ["payments", { order_num }],
      ["refunds", { order_num }],
      ["dead-letters", { order_num }],
    ]}
  />
)

export const Page = () => (
  <ListPage
    page="orders"
    path="/admin/orders"
    one="/admin/orders/{order_num}"
    id="order_num"
    columns={["order_num", "state", "product_name", "quantity", "amount", "user_id", "created_at"]}
    filters={[
      { name: "order_num", kind: "text", max: 40 },
      { name: "user_id", kind: "text", max: 16 },
      { name: "product_id", kind: "text", max: 16 },
      { name: "state", kind: "choice", options: states },
    ]}
    actions={actions}
    more={More}
  />
)
