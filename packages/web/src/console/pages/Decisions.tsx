/** What risk has decided, and why: by rule, by list, by limit. */
import { ListPage } from "../parts/ListPage.tsx"

export const Page = () => (
  <ListPage
    page="decisions"
    path="/admin/risk/records"
    id="id"
    columns={["at", "decision", "code", "route", "rule_id", "user_id", "ip", "device_id"]}
    filters={[
      { name: "user_id", kind: "text", max: 16 },
      { name: "ip", kind: "text", max: 45 },
      { name: "device_id", kind: "text", max: 64 },
      { name: "rule_id", kind: "text", max: 16 },
      { name: "decision", kind: "choice", options: ["observe", "challenge", "block"] },
    ]}
  />
)
