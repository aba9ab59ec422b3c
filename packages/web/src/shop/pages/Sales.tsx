/** What is on sale, what will be, what was. */
import type { Product } from "@floodgate/client/Client"
import { useQuery, useQueryClient } from "@tanstack/react-query"
import { Link } from "@tanstack/react-router"
import { useEffect } from "react"
import { useFormatter, useTranslations } from "use-intl"
import { useSecondsUntil } from "../../live/Clock.ts"
import { useTopics } from "../../live/Live.ts"
import { Basin } from "../parts/Basin.tsx"
import { Countdown } from "../parts/Countdown.tsx"
import { ErrorNote } from "../parts/ErrorNote.tsx"
import { Price } from "../parts/Price.tsx"
import { Stock } from "../parts/Stock.tsx"
import { Titled } from "../parts/Titled.tsx"
import { keys, products } from "../queries.ts"

const Card = ({ product }: { readonly product: Product }) => {
  const t = useTranslations()
  const format = useFormatter()
  const { status } = product
  const when = (instant: string) =>
    format.dateTime(new Date(instant), { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" })
  return (
    <li className={`card ${status}`}>
      <Basin product={product} />
      <div className="card-body">
        <h3>
          <Link to="/s/products/$id" params={{ id: String(product.id) }}>
            {product.name}
          </Link>
        </h3>
        <Price product={product} size="small" />
        {status === "live" && <Stock product={product} size="small" />}
        {status === "sold_out" && <p className="chip">{t("product.status.sold_out")}</p>}
        {status === "upcoming" && (
          <Countdown until={product.start_time} label={t("product.opensIn")} size="small" />
        )}
        {status === "ended" && product.end_time !== null && (
          <p className="fine">{t("list.closed", { when: when(product.end_time) })}</p>
        )}
      </div>
    </li>
  )
}

/** The sale that opens next, large; asks for the lists anew the moment it opens. */
const Next = ({ product }: { readonly product: Product }) => {
  const t = useTranslations()
  const queries = useQueryClient()
  const left = useSecondsUntil(product.start_time)
  useEffect(() => {
    if (left === 0) void queries.invalidateQueries({ queryKey: keys.products })
  }, [left, queries])
  return (
    <section className="next" aria-labelledby="next">
      <Basin product={{ ...product, stock: product.initial_stock }} />
      <div className="next-words">
        <h2 id="next">{t("list.next")}</h2>
        <p className="next-name">
          <Link to="/s/products/$id" params={{ id: String(product.id) }}>
            {product.name}
          </Link>
        </p>
        <Countdown until={product.start_time} label={t("product.opensIn")} size="large" />
        <div className="next-foot">
          <Price product={product} size="small" />
          <span>{t("product.limit", { n: product.per_user_limit })}</span>
        </div>
      </div>
    </section>
  )
}

interface SectionProps {
  readonly id: "live" | "upcoming" | "ended"
  readonly title: string
  readonly none?: string
  readonly items: ReadonlyArray<Product>
}

const Section = ({ id, items, none, title }: SectionProps) =>
  items.length === 0 && none === undefined ? null : (
    <section aria-labelledby={id}>
      <h2 id={id}>{title}</h2>
      {items.length === 0 ? (
        <p className="none">{none}</p>
      ) : (
        <ul className="cards">
          {items.map((product) => (
            <Card key={product.id} product={product} />
          ))}
        </ul>
      )}
    </section>
  )

export const Sales = () => {
  const t = useTranslations()
  const live = useQuery(products("live", 24))
  const upcoming = useQuery(products("upcoming", 24))
  const ended = useQuery(products("ended", 6))
  const queries = useQueryClient()
  const later = (upcoming.data?.items ?? []).filter(({ status }) => status === "upcoming")
  const shown = [...(live.data?.items ?? []), ...later]
  useTopics(shown.map(({ id }) => `stock:${id}`))
  const next = later[0]
  const failed = live.error ?? upcoming.error
  return (
    <>
      <Titled className="unseen" title={t("list.title")} />
      {failed !== null && live.data === undefined && (
        <ErrorNote error={failed} onRetry={() => void queries.refetchQueries({ queryKey: keys.products })} />
      )}
      {next !== undefined && <Next key={next.id} product={next} />}
      {live.data === undefined && failed === null ? (
        <p className="none" role="status">
          {t("common.loading")}
        </p>
      ) : (
        <>
          <Section
            id="live"
            title={t("list.live")}
            none={t("list.noneLive")}
            items={live.data?.items ?? []}
          />
          <Section
            id="upcoming"
            title={t("list.upcoming")}
            {...(next === undefined ? { none: t("list.noneUpcoming") } : {})}
            items={later.slice(1)}
          />
          <Section id="ended" title={t("list.ended")} items={ended.data?.items ?? []} />
        </>
      )}
    </>
  )
}
