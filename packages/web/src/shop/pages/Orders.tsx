/** My orders, newest first. */
import { useInfiniteQuery } from "@tanstack/react-query"
import { Link } from "@tanstack/react-router"
import { Button } from "react-aria-components"
import { useFormatter, useTranslations } from "use-intl"
import { useSecondsUntil } from "../../live/Clock.ts"
import { useTopics } from "../../live/Live.ts"
import { hueOf } from "../parts/Basin.tsx"
import { partsOf } from "../parts/Countdown.tsx"
import { ErrorNote } from "../parts/ErrorNote.tsx"
import { useMoney } from "../parts/Money.ts"
import { SignedIn } from "../parts/SignedIn.tsx"
import { Titled } from "../parts/Titled.tsx"
import { orders } from "../queries.ts"

const two = (n: number): string => String(n).padStart(2, "0")

const Left = ({ until }: { readonly until: string }) => {
  const { hours, minutes, seconds } = partsOf(useSecondsUntil(until) ?? 0)
  return (
    <span className="left" role="timer" aria-live="off">
      {hours > 0 ? `${hours}:${two(minutes)}` : minutes}:{two(seconds)}
    </span>
  )
}

const List = () => {
  const t = useTranslations()
  const format = useFormatter()
  const money = useMoney()
  const query = useInfiniteQuery(orders())
  useTopics(["orders"])
  if (query.data === undefined) {
    return query.error === null ? (
      <p className="none" role="status">
        {t("common.loading")}
      </p>
    ) : (
      <ErrorNote error={query.error} onRetry={() => void query.refetch()} />
    )
  }
  const items = query.data.pages.flatMap((page) => page.items)
  return (
    <>
      {items.length === 0 && (
        <p className="none">
          {t("orders.none")} <Link to="/">{t("common.toSales")}</Link>
        </p>
      )}
      <ul className="rows">
        {items.map((order) => (
          <li key={order.order_num} className={`row ${order.state}`}>
            <span className={`drop ${hueOf(order.product_id)}`} aria-hidden="true" />
            <div>
              <Link to="/s/orders/$num" params={{ num: order.order_num }}>
                {order.quantity > 1
                  ? t("orders.unit", { quantity: order.quantity, name: order.product_name })
                  : order.product_name}
              </Link>
              <p className="fine">
                {format.dateTime(new Date(order.created_at), { dateStyle: "medium", timeStyle: "short" })}
              </p>
            </div>
            <div className="row-end">
              <b>{money(order.amount, order.currency)}</b>
              <span className={`state ${order.state}`}>
                {t(`order.state.${order.state}`)}
                {order.state === "unpaid" && order.expires_at !== null && (
                  <>
                    {" "}
                    <Left until={order.expires_at} />
                  </>
                )}
              </span>
            </div>
          </li>
        ))}
      </ul>
      {query.hasNextPage && (
        <Button
          className="button quiet"
          isDisabled={query.isFetching}
          onPress={() => void query.fetchNextPage()}
        >
          {t("common.more")}
        </Button>
      )}
    </>
  )
}

export const Orders = () => {
  const t = useTranslations("orders")
  return (
    <div className="narrow">
      <Titled title={t("title")} />
      <SignedIn>
        <List />
      </SignedIn>
    </div>
  )
}
