/** How a field is shown, by its name: one table, so that a page names its fields and no more. */
import type { ReactNode } from "react"
import { useFormatter } from "use-intl"
import { useMoney } from "../../shop/parts/Money.ts"
import { type PageName, permissionFor } from "../pages.ts"
import { To } from "./Address.tsx"
import { usePermits } from "./Guarded.tsx"
import { useNames } from "./Names.ts"
import { Tag, type Tone } from "./Tag.tsx"

/** Minor units of the row's currency. */
const MONEY = new Set(["amount", "price", "original_price", "balance"])

const INSTANT = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/

/** Pages on which the object of such a field is opened. */
const LINKS: Readonly<Record<string, PageName>> = {
  user_id: "users",
  actor_id: "users",
  publisher_id: "users",
  settled_by: "users",
  changed_by: "users",
  product_id: "products",
  order_num: "orders",
  payment_id: "payments",
  rule_id: "rules",
  webhook_id: "webhooks",
}

/** Words that stand for a state, with the colour that says how it is. */
const TONES: Readonly<Record<string, Tone>> = {
  live: "good",
  paid: "good",
  succeeded: "good",
  delivered: "good",
  running: "good",
  active: "good",
  applied: "good",
  white: "good",
  replayed: "good",
  upcoming: "calm",
  unpaid: "busy",
  pending: "busy",
  processing: "busy",
  requires_action: "busy",
  refunding: "busy",
  grey: "busy",
  challenge: "busy",
  open: "bad",
  failed: "bad",
  rejected: "bad",
  declined: "bad",
  banned: "bad",
  black: "bad",
  block: "bad",
  refused: "bad",
}

const STATES = new Set(["state", "status", "decision", "mode", "list", "roles", "events", "kind", "type"])

export interface ValueProps {
  readonly name: string
  readonly value: unknown
  /** Of which it is a field: money needs its currency. */
  readonly row: object
}

/** An object that reads better in a line. */
const isFlat = (value: unknown): value is Readonly<Record<string, string | number | boolean>> =>
  typeof value === "object" &&
  !Array.isArray(value) &&
  Object.values(value as object).every((part) => /^(string|number|boolean)$/.test(typeof part))

const Nothing = () => <span className="fine">—</span>

const Linked = ({ name, text }: { readonly name: string; readonly text: string }) => {
  const may = usePermits()
  const page = LINKS[name]!
  if (!may(permissionFor(page))) return <span className="mono">{text}</span>
  return (
    <To page={page} search={{ show: text }} className="mono">
      {text}
    </To>
  )
}

export const Value = ({ name, row, value }: ValueProps): ReactNode => {
  const format = useFormatter()
  const money = useMoney()
  const { field, word } = useNames()
  if (value === null || value === undefined || value === "") return <Nothing />
  if (name in LINKS) return <Linked name={name} text={String(value)} />
  if (typeof value === "number") {
    if (MONEY.has(name)) return money(value, (row as { readonly currency?: string }).currency ?? "CNY")
    return Number.isInteger(value) && !name.endsWith("id") ? format.number(value) : String(value)
  }
  if (typeof value === "boolean") return word(value ? "yes" : "no")
  if (typeof value === "string") {
    if (INSTANT.test(value)) {
      return (
        <time dateTime={value}>
          {format.dateTime(new Date(value), { dateStyle: "short", timeStyle: "medium" })}
        </time>
      )
    }
    if (STATES.has(name)) {
      return <Tag tone={TONES[value] ?? "plain"}>{word(value)}</Tag>
    }
    return <span className="text">{name === "by" ? word(value) : value}</span>
  }
  if (Array.isArray(value) && value.every((item) => typeof item === "string")) {
    return value.length === 0 ? <Nothing /> : value.map((item) => <Tag key={item}>{word(item)}</Tag>)
  }
  if (isFlat(value)) {
    const parts = Object.entries(value).map(
      ([key, part]) => `${field(key)}: ${typeof part === "boolean" ? word(part ? "yes" : "no") : part}`,
    )
    return parts.length === 0 ? <Nothing /> : <span className="text">{parts.join(" · ")}</span>
  }
  return <pre className="json">{JSON.stringify(value, null, 2)}</pre>
}
