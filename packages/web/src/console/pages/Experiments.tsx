/** Experiments and gray releases, and what came of them. */
import { unwrap } from "@floodgate/client/Client"
import type { components } from "@floodgate/client/gen/Api"
import { useQuery } from "@tanstack/react-query"
import { Skeleton, Table } from "antd"
import { useFormatter, useTranslations } from "use-intl"
import { client } from "../../session/Session.ts"
import type { Action } from "../parts/Action.tsx"
import { ErrorNote } from "../parts/ErrorNote.tsx"
import type { Field } from "../parts/fields.ts"
import { ListPage } from "../parts/ListPage.tsx"
import { useNames } from "../parts/Names.ts"

type Experiment = components["schemas"]["Experiment"]
type Create = components["schemas"]["CreateExperimentPayload"]
type Change = components["schemas"]["ChangeExperimentPayload"]
type Variant = components["schemas"]["ExperimentResults"]["variants"][number]

const KINDS = ["limit", "risk", "storefront"]

const example = [
  { key: "control", weight: 1, config: {} },
  { key: "new", weight: 1, config: { button: "warm" } },
]

const percentage = (initial: number): Field => ({
  name: "percentage",
  kind: "decimal",
  min: 0,
  max: 100,
  initial,
})

const create: ReadonlyArray<Action<undefined>> = [
  {
    name: "createExperiment",
    permission: "experiment:write",
    fields: () => [
      { name: "key", kind: "text", max: 64 },
      { name: "kind", kind: "choice", options: KINDS, initial: "storefront" },
      { name: "status", kind: "choice", options: ["draft", "running"], initial: "draft" },
      percentage(0),
      { name: "variants", kind: "json", initial: example },
    ],
    run: (_, values, key) =>
      unwrap(
        client.http.POST("/admin/experiments", {
          params: { header: { "idempotency-key": key } },
          body: values as Create,
        }),
      ),
  },
]

const change = ({ key, version }: Experiment, body: Partial<Change>) =>
  unwrap(
    client.http.PUT("/admin/experiments/{key}", {
      params: { path: { key } },
      body: { ...body, version } as Change,
    }),
  )

const actions: ReadonlyArray<Action<Experiment>> = [
  {
    name: "startExperiment",
    permission: "experiment:write",
    danger: true,
    when: ({ status }) => status === "draft",
    fields: (experiment) => [percentage(experiment.percentage)],
    run: (experiment, values) => change(experiment, { ...values, status: "running" }),
  },
  {
    name: "changeExperiment",
    permission: "experiment:write",
    when: ({ status }) => status !== "stopped",
    fields: (experiment) => [
      percentage(experiment.percentage),
      { name: "allow_users", kind: "json", initial: experiment.allow_users },
      // Of a running one nothing may change by which its users are compared.
      ...(experiment.status === "draft"
        ? [{ name: "variants", kind: "json", initial: experiment.variants } as const]
        : []),
    ],
    run: change,
  },
  {
    name: "stopExperiment",
    permission: "experiment:write",
    danger: true,
    when: ({ status }) => status === "running",
    run: ({ key, version }, { reason }, once) =>
      unwrap(
        client.http.POST("/admin/experiments/{key}/stop", {
          params: { path: { key }, header: { "idempotency-key": once } },
          body: { reason, version },
        }),
      ),
  },
]

const Results = ({ row: { key } }: { readonly row: Experiment }) => {
  const t = useTranslations("console.experiment")
  const format = useFormatter()
  const { field } = useNames()
  const results = useQuery({
    queryKey: ["results", key],
    queryFn: ({ signal }) =>
      unwrap(client.http.GET("/admin/experiments/{key}/results", { params: { path: { key } }, signal })),
    refetchInterval: 10_000,
  })
  if (results.error !== null) return <ErrorNote error={results.error} />
  if (results.data === undefined) return <Skeleton active />
  const percent = (n: number) => format.number(n, { style: "percent", maximumFractionDigits: 1 })
  const rate = (of: Variant["paid_rate"]) =>
    of === null ? "—" : `${percent(of.rate)} (${percent(of.low)}–${percent(of.high)})`
  return (
    <section className="results">
      <h2>{t("results")}</h2>
      <p className="fine">{t("resultsHelp")}</p>
      <Table<Variant>
        size="small"
        rowKey="key"
        pagination={false}
        scroll={{ x: "max-content" }}
        dataSource={[...results.data.variants]}
        columns={[
          ...(["key", "exposed", "accepted", "paid", "limited"] as const).map((name) => ({
            key: name,
            dataIndex: name,
            title: field(name),
          })),
          {
            key: "accept_rate",
            title: field("accept_rate"),
            render: (_: unknown, variant: Variant) => rate(variant.accept_rate),
          },
          {
            key: "paid_rate",
            title: field("paid_rate"),
            render: (_: unknown, variant: Variant) => rate(variant.paid_rate),
          },
        ]}
      />
    </section>
  )
}

export const Page = () => (
  <ListPage
    page="experiments"
    path="/admin/experiments"
    one="/admin/experiments/{key}"
    id="key"
    columns={["key", "kind", "status", "percentage", "started_at", "updated_at"]}
    filters={[
      { name: "kind", kind: "choice", options: KINDS },
      { name: "status", kind: "choice", options: ["draft", "running", "stopped"] },
    ]}
    actions={actions}
    create={create}
    more={Results}
  />
)
