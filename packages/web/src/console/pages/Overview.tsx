/** How the sale goes, right now: its funnel, rates, latency, and what is on its way. */
import { useQuery } from "@tanstack/react-query"
import { Alert, Segmented, Skeleton } from "antd"
import { useFormatter, useTranslations } from "use-intl"
import { useAddress } from "../parts/Address.tsx"
import { Chart } from "../parts/Chart.tsx"
import { ErrorNote } from "../parts/ErrorNote.tsx"
import { Figures } from "../parts/Figures.tsx"
import { type Answer, answerOf } from "../parts/lists.ts"
import { useNames } from "../parts/Names.ts"
import { Tag } from "../parts/Tag.tsx"
import { Title } from "../parts/Title.tsx"

type Overview = Answer<"/admin/overview">
type Funnel = Overview["funnel"]

/** Null is what a service would know that can't be asked. */
type Known = number | null

const steps = ["asked", "limited", "sold_out", "accepted", "persisted", "paid", "cancelled"] as const

const FunnelBars = ({ funnel }: { readonly funnel: Funnel }) => {
  const { field } = useNames()
  const format = useFormatter()
  const most = Math.max(1, funnel.asked)
  return (
    <ul className="funnel">
      {steps.map((step) => (
        <li key={step}>
          <span>{field(step)}</span>
          <span className="bar" style={{ width: `${Math.min(100, ((funnel[step] ?? 0) / most) * 100)}%` }} />
          <span className="number">{funnel[step] === null ? "—" : format.number(funnel[step])}</span>
        </li>
      ))}
    </ul>
  )
}

const Breakers = ({ breakers }: Pick<Overview, "breakers">) => {
  const t = useTranslations("console.overview")
  const { word } = useNames()
  const open = breakers.filter(({ state }) => state !== "closed")
  if (open.length === 0) return <Tag tone="good">{t("breakersClosed", { n: breakers.length })}</Tag>
  return open.map(({ name, service, state }) => (
    <Tag key={`${service} ${name}`} tone="bad">
      {service} → {name}: {word(state)}
    </Tag>
  ))
}

const WINDOWS = ["5m", "1h"] as const

export const Page = () => {
  const t = useTranslations("console.overview")
  const { field } = useNames()
  const format = useFormatter()
  const { change, search } = useAddress()
  const window = search["window"] === "1h" ? "1h" : "5m"
  const overview = useQuery({
    queryKey: ["overview", window],
    queryFn: ({ signal }) => answerOf<Overview>("/admin/overview", { query: { window }, signal }),
    refetchInterval: window === "5m" ? 2_000 : 10_000,
  })
  const title = (
    <Title page="overview">
      <Segmented
        aria-label={t("window")}
        value={window}
        options={WINDOWS.map((value) => ({ value, label: t(`windows.${value}`) }))}
        onChange={(value) => change({ window: value })}
      />
    </Title>
  )
  if (overview.data === undefined) {
    return (
      <>
        {title}
        {overview.error === null ? (
          <Skeleton active />
        ) : (
          <ErrorNote error={overview.error} onRetry={() => void overview.refetch()} />
        )}
      </>
    )
  }
  const { alone, breakers, funnel, lag, latency_ms, rates, series, step_s, stock_hit_ratio, unreachable } =
    overview.data
  // The step that runs isn't full yet, and would end every line in a fall.
  const full = series.slice(0, -1)
  const at = full.map((point) => Date.parse(point.at))
  const line = (name: "requests" | "errors" | "asked" | "accepted" | "persisted" | "paid") => ({
    label: field(name),
    values: full.map((point) => (point[name] === null ? null : point[name] / step_s)),
  })
  const ms = (n: Known) => (n === null ? "—" : t("ms", { n: format.number(n, { maximumFractionDigits: 1 }) }))
  const count = (n: Known) => (n === null ? "—" : format.number(n, { maximumFractionDigits: 1 }))
  return (
    <>
      {title}
      {overview.error !== null && <ErrorNote error={overview.error} />}
      {(unreachable ?? []).length > 0 && (
        <Alert
          className="explains"
          type="warning"
          showIcon
          title={t("unreachable", { services: unreachable!.join(", ") })}
        />
      )}
      {alone === true && <Alert className="explains" type="warning" showIcon title={t("alone")} />}
      <div className="panels">
        <section className="panel">
          <h2>{t("funnel")}</h2>
          <FunnelBars funnel={funnel} />
        </section>
        <section className="panel">
          <h2>{t("health")}</h2>
          <Figures
            figures={[
              [
                field("stock_hit_ratio"),
                stock_hit_ratio === null
                  ? "—"
                  : format.number(stock_hit_ratio, { style: "percent", maximumFractionDigits: 1 }),
              ],
              ["p50", ms(latency_ms.p50)],
              ["p95", ms(latency_ms.p95)],
              ["p99", ms(latency_ms.p99)],
              [t("relay"), count(lag.relay)],
              [t("kafka"), count(lag.kafka)],
              [t("outbox"), count(lag.outbox)],
            ]}
          />
          <div className="breakers">
            <Breakers breakers={breakers} />
          </div>
        </section>
        <section className="panel">
          <h2>{t("sale")}</h2>
          <Chart
            label={t("saleLabel", {
              asked: count(rates["asked"] ?? null),
              accepted: count(rates["accepted"] ?? null),
            })}
            at={at}
            lines={[line("asked"), line("accepted"), line("persisted"), line("paid")]}
          />
        </section>
        <section className="panel">
          <h2>{t("requests")}</h2>
          <Chart
            label={t("requestsLabel", {
              requests: count(rates["requests"] ?? null),
              errors: count(rates["errors"] ?? null),
            })}
            at={at}
            lines={[line("requests"), line("errors")]}
          />
        </section>
        <section className="panel wide">
          <h2>{t("latency")}</h2>
          <Chart
            label={t("latencyLabel", { p95: ms(latency_ms.p95) })}
            at={at}
            lines={[{ label: "p95", values: full.map((point) => point.p95_ms) }]}
          />
        </section>
      </div>
    </>
  )
}
