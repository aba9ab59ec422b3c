/** Who changed what and why, in every service. */
import { ListPage } from "../parts/ListPage.tsx"

export const Page = () => (
  <ListPage
    page="audit"
    path="/admin/audit"
    id="id"
    columns={["at", "actor_name", "action", "target_id", "reason", "service"]}
    filters={[
      { name: "actor", kind: "text", max: 16 },
      { name: "action", kind: "text", max: 64 },
      { name: "target", kind: "text", max: 128 },
    ]}
  />
)
