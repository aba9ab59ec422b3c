/** Risk rules: what is looked at, and what is done about it. */
import { unwrap } from "@floodgate/client/Client"
import type { components } from "@floodgate/client/gen/Api"
import { client } from "../../session/Session.ts"
import type { Action, Values } from "../parts/Action.tsx"
import { Also } from "../parts/Also.tsx"
import type { Field } from "../parts/fields.ts"
import { ListPage } from "../parts/ListPage.tsx"

type Rule = components["schemas"]["RiskRule"]

const counted = ["max", "window_s"]

/** The numbers of each kind of rule. */
const paramsOf: Readonly<Record<Rule["kind"], ReadonlyArray<string>>> = {
  "device-frequency": counted,
  "account-frequency": counted,
  "device-accounts": counted,
  "account-devices": counted,
  "account-addresses": counted,
  "address-accounts": counted,
  "new-account": ["max_age_s"],
  "regular-timing": ["samples", "max_jitter_ms"],
}

const MODES = ["observe", "challenge", "block"]

const numbersOf = (kind: Rule["kind"], params: Readonly<Record<string, number>> = {}): ReadonlyArray<Field> =>
  paramsOf[kind].map((name) => ({ name, kind: "whole", min: 0, initial: params[name] }))

const common = (rule?: Rule): ReadonlyArray<Field> => [
  { name: "mode", kind: "choice", options: MODES, initial: rule?.mode ?? "observe" },
  { name: "enabled", kind: "flag", initial: rule?.enabled ?? true },
  { name: "product_id", kind: "whole", optional: true, initial: rule?.scope.product_id },
]

const bodyOf = (kind: Rule["kind"], { enabled = false, mode, product_id, reason, ...rest }: Values) => ({
  params: Object.fromEntries(paramsOf[kind].map((name) => [name, Number(rest[name])])),
  mode,
  enabled,
  scope: product_id === undefined ? {} : { product_id },
  reason,
})

const create: ReadonlyArray<Action<undefined>> = [
  {
    name: "createRule",
    permission: "risk:write",
    fields: (_, { kind }) => [
      { name: "kind", kind: "choice", options: Object.keys(paramsOf), initial: "device-frequency" },
      ...numbersOf((kind as Rule["kind"] | undefined) ?? "device-frequency"),
      ...common(),
    ],
    run: (_, values, key) =>
      unwrap(
        client.http.POST("/admin/risk/rules", {
          params: { header: { "idempotency-key": key } },
          body: { kind: values["kind"], ...bodyOf(values["kind"], values) },
        }),
      ),
  },
]

const actions: ReadonlyArray<Action<Rule>> = [
  {
    name: "changeRule",
    permission: "risk:write",
    fields: (rule) => [...numbersOf(rule.kind, rule.params), ...common(rule)],
    run: ({ id, kind, version }, values) =>
      unwrap(
        client.http.PUT("/admin/risk/rules/{id}", {
          params: { path: { id: String(id) } },
          body: { ...bodyOf(kind, values), version },
        }),
      ),
  },
  {
    name: "deleteRule",
    permission: "risk:write",
    danger: true,
    run: ({ id, version }, { reason }) =>
      unwrap(
        client.http.DELETE("/admin/risk/rules/{id}", {
          params: { path: { id: String(id) } },
          body: { reason, version },
        }),
      ),
  },
]

const More = ({ row: { id } }: { readonly row: Rule }) => (
  <Also links={[["decisions", { rule_id: String(id) }]]} />
)

export const Page = () => (
  <ListPage
    page="rules"
    path="/admin/risk/rules"
    one="/admin/risk/rules/{id}"
    id="id"
    columns={["id", "kind", "params", "mode", "enabled", "scope", "updated_at"]}
    timeless
    whole
    actions={actions}
    create={create}
    more={More}
  />
)
