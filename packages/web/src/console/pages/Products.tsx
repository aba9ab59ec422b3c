/** Products: published, edited, cloned, warmed up, withdrawn, restocked, rebuilt. */
import { unwrap } from "@floodgate/client/Client"
import type { components } from "@floodgate/client/gen/Api"
import { client } from "../../session/Session.ts"
import type { Action, Values } from "../parts/Action.tsx"
import { Also } from "../parts/Also.tsx"
import type { Field } from "../parts/fields.ts"
import { ListPage } from "../parts/ListPage.tsx"
import { useNames } from "../parts/Names.ts"
import { Readiness } from "../parts/Readiness.tsx"

type Product = components["schemas"]["AdminProduct"]
type Publish = components["schemas"]["PublishPayload"]
type Edit = components["schemas"]["EditProductPayload"]

const statuses = ["draft", "upcoming", "live", "sold_out", "ended", "withdrawn"]

const HOUR_MS = 3_600_000

/** The next full hour that leaves time to prepare. */
const soon = (): string => new Date(Math.ceil(Date.now() / HOUR_MS + 0.25) * HOUR_MS).toISOString()

const looks = (product?: Product): ReadonlyArray<Field> => [
  { name: "name", kind: "text", max: 120, initial: product?.name },
  { name: "description", kind: "paragraphs", optional: true, initial: product?.description },
  { name: "image", kind: "image", optional: true, initial: product?.image },
]

const terms = (product?: Product): ReadonlyArray<Field> => [
  { name: "price", kind: "money", initial: product?.price },
  { name: "start_time", kind: "time", initial: product?.start_time ?? soon() },
  { name: "end_time", kind: "time", optional: true, initial: product?.end_time },
  { name: "per_user_limit", kind: "whole", max: 100, initial: product?.per_user_limit ?? 1 },
]

const rest = (product?: Product): ReadonlyArray<Field> => [
  { name: "original_price", kind: "money", optional: true, initial: product?.original_price },
  { name: "challenge", kind: "flag", initial: product?.access.challenge },
  { name: "waiting_room", kind: "flag", initial: product?.access.waiting_room },
]

const stock = (initial?: number): Field => ({ name: "stock", kind: "whole", max: 10_000_000, initial })

/** The two switches are one field of the API. */
const bodyOf = ({ challenge = false, waiting_room = false, ...others }: Values) => ({
  ...others,
  access: { challenge, waiting_room },
})

const create: ReadonlyArray<Action<undefined>> = [
  {
    name: "publish",
    permission: "product:write",
    reasonless: true,
    fields: () => [...looks(), stock(100), ...terms(), ...rest()],
    run: (_, values, key) =>
      unwrap(
        client.http.POST("/products", {
          params: { header: { "idempotency-key": key } },
          body: bodyOf(values) as Publish,
        }),
      ),
  },
]

const isAhead = ({ status }: Product): boolean => status === "draft" || status === "upcoming"

/** Of these fields what the editor has changed; an emptied one becomes null. */
const changes = (fields: ReadonlyArray<Field>, values: Values): Values =>
  Object.fromEntries(
    fields.flatMap(({ initial, kind, name }) => {
      const now = values[name] ?? (kind === "flag" ? false : name === "description" ? "" : null)
      const same = kind === "time" && now !== null ? sameSecond(now, initial) : now === (initial ?? null)
      return same ? [] : [[name, now]]
    }),
  )

/** Forms know seconds; an instant that only lost its milliseconds on the way hasn't been changed. */
const sameSecond = (a: string, b: unknown): boolean =>
  typeof b === "string" && Math.floor(Date.parse(a) / 1000) === Math.floor(Date.parse(b) / 1000)

const editable = (product: Product): ReadonlyArray<Field> => [
  ...looks(product),
  ...(isAhead(product) ? terms(product) : []),
  ...rest(product),
]

const command = (path: "warmup" | "withdraw" | "rebuild"): Action<Product>["run"] => {
  const full = `/admin/products/{id}/${path}` as const
  return ({ id }, { reason }, key) =>
    unwrap(
      client.http.POST(full, {
        params: { path: { id: String(id) }, header: { "idempotency-key": key } },
        body: { reason },
      }) as never,
    )
}

const actions: ReadonlyArray<Action<Product>> = [
  {
    name: "warmUp",
    permission: "product:write",
    when: ({ status }) => status === "draft",
    run: command("warmup"),
  },
  {
    name: "changeStock",
    permission: "stock:write",
    danger: true,
    when: ({ status }) => status !== "draft" && status !== "withdrawn",
    fields: () => [{ name: "delta", kind: "whole", min: -10_000_000, max: 10_000_000 }],
    run: ({ id }, { delta, reason }, key) =>
      unwrap(
        client.http.POST("/admin/products/{id}/stock", {
          params: { path: { id: String(id) }, header: { "idempotency-key": key } },
          body: { delta, reason },
        }),
      ),
  },
  {
    name: "edit",
    permission: "product:write",
    when: ({ status }) => status !== "withdrawn",
    fields: editable,
    run: (product, { reason, ...values }) => {
      const { challenge, waiting_room, ...others } = changes(editable(product), values)
      const access = {
        ...(challenge !== undefined && { challenge }),
        ...(waiting_room !== undefined && { waiting_room }),
      }
      return unwrap(
        client.http.PATCH("/admin/products/{id}", {
          params: { path: { id: String(product.id) } },
          body: {
            ...(others as Partial<Edit>),
            ...(Object.keys(access).length > 0 && { access }),
            reason,
            version: product.version,
          } as Edit,
        }),
      )
    },
  },
  {
    name: "clone",
    permission: "product:write",
    fields: ({ initial_stock, name }) => [
      { name: "name", kind: "text", max: 120, initial: name },
      stock(initial_stock),
      { name: "start_time", kind: "time", initial: soon() },
      { name: "end_time", kind: "time", optional: true },
    ],
    run: ({ id }, values, key) =>
      unwrap(
        client.http.POST("/admin/products/{id}/clone", {
          params: { path: { id: String(id) }, header: { "idempotency-key": key } },
          body: values as components["schemas"]["CloneProductPayload"],
        }),
      ),
  },
  {
    name: "rebuild",
    permission: "product:write",
    danger: true,
    when: ({ status }) => status !== "draft",
    run: command("rebuild"),
  },
  {
    name: "withdraw",
    permission: "product:write",
    danger: true,
    when: ({ status }) => status !== "withdrawn" && status !== "draft",
    run: command("withdraw"),
  },
]

const More = ({ row: { id, status } }: { readonly row: Product }) => {
  const { field } = useNames()
  const product_id = String(id)
  return (
    <>
      <Also
        links={[
          ["orders", { product_id }],
          ["stock-log", { product_id }],
          ["audit", { target: `product:${id}` }],
        ]}
      >
        <a href={`/s/products/${id}`}>{field("storefront")}</a>
      </Also>
      {status !== "withdrawn" && status !== "ended" && <Readiness id={id} />}
    </>
  )
}

export const Page = () => (
  <ListPage
    page="products"
    path="/admin/products"
    one="/admin/products/{id}"
    id="id"
    columns={["id", "name", "status", "price", "stock", "initial_stock", "start_time", "end_time"]}
    filters={[
      { name: "q", kind: "text", max: 64 },
      { name: "status", kind: "choice", options: statuses },
    ]}
    actions={actions}
    create={create}
    more={More}
  />
)
