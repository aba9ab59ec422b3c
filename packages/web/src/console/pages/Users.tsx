/** Accounts: found, banned, given roles. */
import { unwrap } from "@floodgate/client/Client"
import type { components } from "@floodgate/client/gen/Api"
import { permissionsOf } from "@floodgate/client/gen/Roles"
import { client } from "../../session/Session.ts"
import type { Action } from "../parts/Action.tsx"
import { Also } from "../parts/Also.tsx"
import { ListPage } from "../parts/ListPage.tsx"

type User = components["schemas"]["AdminUser"]

const to = ({ id }: User, key: string) => ({
  path: { id: String(id) },
  header: { "idempotency-key": key },
})

const actions: ReadonlyArray<Action<User>> = [
  {
    name: "ban",
    permission: "user:ban",
    danger: true,
    when: ({ state }) => state === "active",
    fields: () => [{ name: "until", kind: "time", optional: true }],
    run: (user, { reason, until }, key) =>
      unwrap(
        client.http.POST("/admin/users/{id}/ban", {
          params: to(user, key),
          body: { reason, version: user.version, ...(until !== undefined && { until }) },
        }),
      ),
  },
  {
    name: "unban",
    permission: "user:ban",
    when: ({ banned }) => banned,
    run: (user, { reason }, key) =>
      unwrap(
        client.http.POST("/admin/users/{id}/unban", {
          params: to(user, key),
          body: { reason, version: user.version },
        }),
      ),
  },
  {
    name: "roles",
    permission: "user:roles",
    danger: true,
    when: ({ state }) => state !== "erased",
    fields: ({ roles }) => [
      { name: "roles", kind: "choices", options: Object.keys(permissionsOf), initial: roles },
    ],
    run: (user, { reason, roles }, key) =>
      unwrap(
        client.http.POST("/admin/users/{id}/roles", {
          params: to(user, key),
          body: { reason, roles, version: user.version },
        }),
      ),
  },
]

const More = ({ row: { id } }: { readonly row: User }) => (
  <Also
    links={[
      ["orders", { user_id: String(id) }],
      ["decisions", { user_id: String(id) }],
      ["audit", { target: `user:${id}` }],
    ]}
  />
)

export const Page = () => (
  <ListPage
    page="users"
    path="/admin/users"
    one="/admin/users/{id}"
    id="id"
    columns={["id", "username", "roles", "state", "balance", "created_at"]}
    filters={[
      { name: "q", kind: "text", max: 64 },
      { name: "banned", kind: "choice", options: ["true", "false"] },
    ]}
    actions={actions}
    more={More}
  />
)
