/** Money on its way back. */
import { ListPage } from "../parts/ListPage.tsx"

export const Page = () => (
  <ListPage
    page="refunds"
    path="/admin/refunds"
    id="refund_id"
    columns={["refund_id", "order_num", "user_id", "channel", "amount", "status", "reason", "created_at"]}
    filters={[
      { name: "order_num", kind: "text", max: 64 },
      { name: "status", kind: "choice", options: ["pending", "succeeded", "failed"] },
    ]}
  />
)
