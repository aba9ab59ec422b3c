/** Endpoints of others that are told what became of orders. */
import { unwrap } from "@floodgate/client/Client"
import type { components } from "@floodgate/client/gen/Api"
import { Alert, Typography } from "antd"
import { useTranslations } from "use-intl"
import { client } from "../../session/Session.ts"
import type { Action } from "../parts/Action.tsx"
import { Also } from "../parts/Also.tsx"
import { ListPage } from "../parts/ListPage.tsx"

type Webhook = components["schemas"]["Webhook"]
type NewWebhook = components["schemas"]["NewWebhook"]
type Create = components["schemas"]["CreateWebhookPayload"]

const EVENTS = ["order.paid", "order.cancelled", "order.refunded"]

const Secret = ({ secret }: NewWebhook) => {
  const t = useTranslations("console.webhook")
  return (
    <>
      <Alert type="warning" showIcon title={t("secret")} description={t("secretHelp")} />
      <Typography.Paragraph className="secret" code copyable>
        {secret}
      </Typography.Paragraph>
    </>
  )
}

const create: ReadonlyArray<Action<undefined>> = [
  {
    name: "createWebhook",
    permission: "webhook:write",
    fields: () => [
      { name: "url", kind: "text", max: 2048 },
      { name: "events", kind: "choices", options: EVENTS, initial: EVENTS },
      { name: "description", kind: "text", max: 200, optional: true },
    ],
    run: (_, values, key) =>
      unwrap(
        client.http.POST("/admin/webhooks", {
          params: { header: { "idempotency-key": key } },
          body: values as Create,
        }),
      ),
    result: (made: NewWebhook) => <Secret {...made} />,
  },
]

const actions: ReadonlyArray<Action<Webhook>> = [
  {
    name: "redeliverAll",
    permission: "webhook:write",
    when: ({ failed }) => failed > 0,
    run: ({ id }, { reason }, key) =>
      unwrap(
        client.http.POST("/admin/webhooks/{id}/redeliver", {
          params: { path: { id: String(id) }, header: { "idempotency-key": key } },
          body: { reason },
        }),
      ),
  },
  {
    name: "deleteWebhook",
    permission: "webhook:write",
    danger: true,
    run: ({ id }, { reason }) =>
      unwrap(
        client.http.DELETE("/admin/webhooks/{id}", {
          params: { path: { id: String(id) } },
          body: { reason },
        }),
      ),
  },
]

const More = ({ row: { id } }: { readonly row: Webhook }) => (
  <Also links={[["deliveries", { webhook: String(id) }]]} />
)

export const Page = () => (
  <ListPage
    page="webhooks"
    path="/admin/webhooks"
    one="/admin/webhooks/{id}"
    id="id"
    columns={["id", "url", "events", "delivered", "pending", "failed", "created_at"]}
    timeless
    actions={actions}
    create={create}
    more={More}
  />
)
