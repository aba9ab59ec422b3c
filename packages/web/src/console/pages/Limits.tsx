/** How often anybody may do anything. */
import { unwrap } from "@floodgate/client/Client"
import type { components } from "@floodgate/client/gen/Api"
import { client } from "../../session/Session.ts"
import type { Action } from "../parts/Action.tsx"
import { ListPage } from "../parts/ListPage.tsx"

type Limit = components["schemas"]["Limit"]
type Change = components["schemas"]["LimitPayload"]

const change = (name: Limit["name"], body: Change) =>
  unwrap(client.http.PUT("/admin/limits/{name}", { params: { path: { name } }, body }))

const create: ReadonlyArray<Action<undefined>> = [
  {
    name: "limitProduct",
    permission: "risk:write",
    danger: true,
    fields: () => [
      { name: "product_id", kind: "whole" },
      { name: "rate", kind: "whole", initial: 1000 },
      { name: "burst", kind: "whole", initial: 2000 },
    ],
    run: (_, values) => change("seckill-product", values as Change),
  },
]

const actions: ReadonlyArray<Action<Limit>> = [
  {
    name: "changeLimit",
    permission: "risk:write",
    danger: true,
    fields: ({ burst, rate }) => [
      { name: "rate", kind: "whole", initial: rate },
      { name: "burst", kind: "whole", initial: burst },
    ],
    run: ({ name, product_id, version }, values) =>
      change(name, { ...(values as Change), version, ...(product_id !== null && { product_id }) }),
  },
]

export const Page = () => (
  <ListPage
    page="limits"
    path="/admin/limits"
    id={(limit) => [limit.name, limit.product_id].filter((part) => part !== null).join(":")}
    columns={["name", "product_id", "by", "rate", "period_s", "burst", "code", "updated_at"]}
    timeless
    whole
    actions={actions}
    create={create}
  />
)
