/** Address lists: black is refused, grey is challenged, white is let through. */
import { unwrap } from "@floodgate/client/Client"
import type { components } from "@floodgate/client/gen/Api"
import { client } from "../../session/Session.ts"
import type { Action } from "../parts/Action.tsx"
import type { Field } from "../parts/fields.ts"
import { ListPage } from "../parts/ListPage.tsx"

type Entry = components["schemas"]["IpListEntry"]
type Put = components["schemas"]["PutIpPayload"]

const LISTS = ["black", "grey", "white"]

const fields = (entry?: Entry): ReadonlyArray<Field> => [
  { name: "list", kind: "choice", options: LISTS, initial: entry?.list ?? "black" },
  { name: "expires_at", kind: "time", optional: true, initial: entry?.expires_at },
]

const put = (body: Put) => unwrap(client.http.PUT("/admin/risk/ip-list", { body }))

const create: ReadonlyArray<Action<undefined>> = [
  {
    name: "listAddress",
    permission: "risk:write",
    danger: true,
    fields: () => [{ name: "cidr", kind: "text", max: 43 }, ...fields()],
    run: (_, values) => put(values as Put),
  },
]

const actions: ReadonlyArray<Action<Entry>> = [
  {
    name: "relistAddress",
    permission: "risk:write",
    danger: true,
    fields,
    run: ({ cidr, version }, values) => put({ ...(values as Put), cidr, version }),
  },
  {
    name: "unlistAddress",
    permission: "risk:write",
    danger: true,
    run: ({ cidr, version }, { reason }) =>
      unwrap(client.http.DELETE("/admin/risk/ip-list", { body: { cidr, version, reason } })),
  },
]

export const Page = () => (
  <ListPage
    page="addresses"
    path="/admin/risk/ip-list"
    id="cidr"
    columns={["cidr", "list", "reason", "expires_at", "created_at"]}
    filters={[
      { name: "ip", kind: "text", max: 43 },
      { name: "list", kind: "choice", options: LISTS },
    ]}
    actions={actions}
    create={create}
  />
)
