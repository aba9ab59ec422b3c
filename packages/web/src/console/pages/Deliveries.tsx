/** What one endpoint was told, and what it couldn't be. */
import { unwrap } from "@floodgate/client/Client"
import type { components } from "@floodgate/client/gen/Api"
import { Empty } from "antd"
import { useTranslations } from "use-intl"
import { client } from "../../session/Session.ts"
import type { Action } from "../parts/Action.tsx"
import { To, useAddress } from "../parts/Address.tsx"
import { ListPage } from "../parts/ListPage.tsx"
import { Title } from "../parts/Title.tsx"

type Delivery = components["schemas"]["WebhookDelivery"]

const actions: ReadonlyArray<Action<Delivery>> = [
  {
    name: "redeliver",
    permission: "webhook:write",
    when: ({ state }) => state !== "pending",
    run: ({ id, webhook_id }, { reason }, key) =>
      unwrap(
        client.http.POST("/admin/webhooks/{id}/redeliver", {
          params: { path: { id: String(webhook_id) }, header: { "idempotency-key": key } },
          body: { reason, delivery_id: id },
        }),
      ),
  },
]

export const Page = () => {
  const t = useTranslations("console")
  const { search } = useAddress()
  const webhook = search["webhook"]
  if (webhook === undefined) {
    return (
      <>
        <Title page="deliveries" />
        <Empty image={Empty.PRESENTED_IMAGE_SIMPLE} description={t("list.chooseWebhook")}>
          <To page="webhooks">{t("page.webhooks.title")}</To>
        </Empty>
      </>
    )
  }
  return (
    <ListPage
      page="deliveries"
      path="/admin/webhooks/{id}/deliveries"
      inPath={{ id: webhook }}
      id="id"
      columns={["id", "type", "order_num", "state", "attempts", "last_status", "created_at"]}
      filters={[{ name: "state", kind: "choice", options: ["pending", "delivered", "failed"] }]}
      timeless
      actions={actions}
    />
  )
}
