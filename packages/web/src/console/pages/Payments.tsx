/** Payments by any channel, with what came by them and what went back. */
import { ListPage } from "../parts/ListPage.tsx"

const statuses = ["processing", "requires_action", "succeeded", "declined", "closed"]

export const Page = () => (
  <ListPage
    page="payments"
    path="/admin/payments"
    one="/admin/payments/{payment_id}"
    id="payment_id"
    columns={["payment_id", "purpose", "order_num", "user_id", "channel", "amount", "state", "created_at"]}
    filters={[
      { name: "order_num", kind: "text", max: 64 },
      { name: "status", kind: "choice", options: statuses },
    ]}
  />
)
