/** What sale day needs: the switch of all sales, whether each product is ready, and the rush as it happens. */
import { type Product, unwrap } from "@floodgate/client/Client"
import type { components } from "@floodgate/client/gen/Api"
import { useQuery } from "@tanstack/react-query"
import { Alert, Empty, Progress, Skeleton } from "antd"
import { useEffect, useState } from "react"
import { useFormatter, useTranslations } from "use-intl"
import { serverNow } from "../../live/Clock.ts"
import { useTopics } from "../../live/Live.ts"
import { client } from "../../session/Session.ts"
import { product as productQuery } from "../../shop/queries.ts"
import { type Action, Actions } from "../parts/Action.tsx"
import { To } from "../parts/Address.tsx"
import { Chart } from "../parts/Chart.tsx"
import { ErrorNote } from "../parts/ErrorNote.tsx"
import { Figures } from "../parts/Figures.tsx"
import { usePermits } from "../parts/Guarded.tsx"
import { listOf } from "../parts/lists.ts"
import { Readiness } from "../parts/Readiness.tsx"
import { Title } from "../parts/Title.tsx"
import { Value } from "../parts/Value.tsx"

type SaleState = components["schemas"]["SaleState"]

const turn = (to: "pause" | "resume"): Action<SaleState>["run"] => {
  const path = `/admin/sale/${to}` as const
  return (_, { reason }, key) =>
    unwrap(client.http.POST(path, { params: { header: { "idempotency-key": key } }, body: { reason } }))
}

const actions: ReadonlyArray<Action<SaleState>> = [
  {
    name: "pause",
    permission: "sale:write",
    danger: true,
    when: ({ paused }) => !paused,
    run: turn("pause"),
  },
  { name: "resume", permission: "sale:write", when: ({ paused }) => paused, run: turn("resume") },
]

const Switch = () => {
  const t = useTranslations("console.sale")
  const format = useFormatter()
  const sale = useQuery({
    queryKey: ["sale"],
    queryFn: ({ signal }) => unwrap(client.http.GET("/admin/sale", { signal })),
    refetchInterval: 2_000,
  })
  if (sale.data === undefined) {
    return sale.error === null ? <Skeleton active title={false} /> : <ErrorNote error={sale.error} />
  }
  const { changed_at, paused, reason } = sale.data
  return (
    <Alert
      className="explains"
      showIcon
      type={paused ? "error" : "success"}
      title={paused ? t("paused") : t("running")}
      description={
        <>
          <p>{paused ? t("pausedHelp") : t("runningHelp")}</p>
          {changed_at !== null && (
            <p className="fine">
              {t("since", {
                when: format.dateTime(new Date(changed_at), { dateStyle: "short", timeStyle: "medium" }),
                reason: reason ?? "",
              })}
            </p>
          )}
        </>
      }
      action={<Actions actions={actions} row={sale.data} />}
    />
  )
}

interface Reading {
  readonly at: number
  readonly stock: number
}

/** The chart goes five minutes back. */
const READINGS = 150
const STEP_MS = 2_000

/** The stock as it was every two seconds since the page was opened, five minutes back at most. */
const useReadings = (stock: number): ReadonlyArray<Reading> => {
  const [readings, setReadings] = useState<ReadonlyArray<Reading>>([])
  useEffect(() => {
    const read = () => setReadings((before) => [...before.slice(1 - READINGS), { at: serverNow(), stock }])
    read()
    const timer = setInterval(read, STEP_MS)
    return () => clearInterval(timer)
  }, [stock])
  return readings
}

/** Pieces a second over the last ten readings, twenty seconds; what is restocked doesn't count against it. */
const rateOf = (readings: ReadonlyArray<Reading>): number => {
  const last = readings.slice(-10)
  const [first, now] = [last[0], last.at(-1)]
  if (first === undefined || now === undefined || now.at === first.at) return 0
  const gone = last.slice(1).reduce((sum, { stock }, n) => sum + Math.max(0, last[n]!.stock - stock), 0)
  return gone / ((now.at - first.at) / 1000)
}

const Rush = ({ product: listed }: { readonly product: Product }) => {
  const t = useTranslations("console.sale")
  const format = useFormatter()
  const { data: product = listed } = useQuery({ ...productQuery(listed.id), initialData: listed })
  const { end_time, id, initial_stock, name, start_time, status, stock } = product
  const readings = useReadings(stock)
  const total = Math.max(initial_stock, stock)
  const when = (instant: string | null) => <Value name="start_time" value={instant} row={product} />
  return (
    <section className="panel" aria-label={name}>
      <div className="row">
        <h2>
          <To page="products" search={{ show: String(id) }}>
            {name}
          </To>
        </h2>
        <Value name="status" value={status} row={product} />
      </div>
      <Progress
        percent={total === 0 ? 0 : Math.round((stock / total) * 100)}
        aria-label={t("left")}
        status="normal"
      />
      <Figures
        figures={[
          [t("left"), format.number(stock)],
          [t("gone"), format.number(total - stock)],
          [t("rate"), format.number(rateOf(readings), { maximumFractionDigits: 1 })],
        ]}
      />
      <p className="fine">
        {t("opens")} {when(start_time)} · {t("closes")} {when(end_time)}
      </p>
      {status === "live" && (
        <Chart
          label={t("chartLabel", { left: stock, total })}
          at={readings.map(({ at }) => at)}
          lines={[{ label: t("left"), values: readings.map((each) => each.stock) }]}
        />
      )}
      <Readiness id={id} />
    </section>
  )
}

/** The most products that are shown of each status: the stream has 50 topics. */
const SHOWN = 12

export const Page = () => {
  const t = useTranslations("console.sale")
  const may = usePermits()
  const products = useQuery({
    queryKey: ["sale-day"],
    queryFn: async ({ signal }) => {
      const lists = await Promise.all(
        ["live", "upcoming"].map((status) =>
          listOf("/admin/products", { query: { status, limit: SHOWN }, signal }),
        ),
      )
      return lists.flatMap(({ items }) => items)
    },
    refetchInterval: 10_000,
  })
  const shown = products.data ?? []
  useTopics(shown.map(({ id }) => `stock:${id}`))
  return (
    <>
      <Title page="sale-day" />
      {may("sale:read") && <Switch />}
      {products.error !== null && (
        <ErrorNote error={products.error} onRetry={() => void products.refetch()} />
      )}
      {products.isPending ? (
        <Skeleton active />
      ) : shown.length === 0 ? (
        <Empty image={Empty.PRESENTED_IMAGE_SIMPLE} description={t("none")} />
      ) : (
        <div className="panels">
          {shown.map((product) => (
            <Rush key={product.id} product={product} />
          ))}
        </div>
      )}
    </>
  )
}
