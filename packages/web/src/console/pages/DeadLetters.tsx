/** Messages that failed by themselves: looked at, replayed, given up. */
import { unwrap } from "@floodgate/client/Client"
import type { components } from "@floodgate/client/gen/Api"
import { client } from "../../session/Session.ts"
import type { Action } from "../parts/Action.tsx"
import { ListPage } from "../parts/ListPage.tsx"

type Letter = components["schemas"]["DeadLetter"]

const isOpen = ({ state }: Letter): boolean => state === "open"

const settle =
  (path: "/admin/dead-letters/{id}/replay" | "/admin/dead-letters/{id}/discard"): Action<Letter>["run"] =>
  ({ id }, { reason }, key) =>
    unwrap(
      client.http.POST(path, {
        params: { path: { id: String(id) }, header: { "idempotency-key": key } },
        body: { reason },
      }),
    )

const actions: ReadonlyArray<Action<Letter>> = [
  {
    name: "replay",
    permission: "queue:write",
    when: isOpen,
    run: settle("/admin/dead-letters/{id}/replay"),
  },
  {
    name: "discard",
    permission: "queue:write",
    danger: true,
    when: isOpen,
    run: settle("/admin/dead-letters/{id}/discard"),
  },
]

export const Page = () => (
  <ListPage
    page="dead-letters"
    path="/admin/dead-letters"
    one="/admin/dead-letters/{id}"
    id="id"
    columns={["id", "state", "topic", "reason", "order_num", "attempts", "first_at", "discards_at"]}
    filters={[
      { name: "state", kind: "choice", options: ["open", "replayed", "discarded"] },
      { name: "topic", kind: "text", max: 120 },
      { name: "order_num", kind: "text", max: 40 },
    ]}
    actions={actions}
  />
)
