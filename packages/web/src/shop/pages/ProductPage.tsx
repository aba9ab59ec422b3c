/** One product: what is left, when it opens, and the button. */
import type { Product } from "@floodgate/client/Client"
import { useQuery, useQueryClient } from "@tanstack/react-query"
import { Link, useNavigate, useParams } from "@tanstack/react-router"
import { useCallback, useEffect, useRef, useState } from "react"
import { Button, Group, Input, Label, NumberField, ProgressBar } from "react-aria-components"
import { useFormatter, useTranslations } from "use-intl"
import { useSecondsUntil } from "../../live/Clock.ts"
import { useTopics } from "../../live/Live.ts"
import { client, useUser } from "../../session/Session.ts"
import * as Purchase from "../buy/Purchase.ts"
import { Basin } from "../parts/Basin.tsx"
import { Countdown } from "../parts/Countdown.tsx"
import { ErrorNote } from "../parts/ErrorNote.tsx"
import { useMoney } from "../parts/Money.ts"
import { Price } from "../parts/Price.tsx"
import { Stock } from "../parts/Stock.tsx"
import { Titled } from "../parts/Titled.tsx"
import { keys, product as productQuery } from "../queries.ts"

const Progress = ({ onLeave, step }: { readonly step: Purchase.Step; readonly onLeave: () => void }) => {
  const t = useTranslations("buy")
  if (step.at === "checking") {
    const percent = Math.round(step.share * 100)
    return (
      <div className="progress">
        <ProgressBar value={percent} aria-label={t("checking")}>
          <strong>{t("checking")}</strong>
          <span className="stock-bar">
            <span className="stock-fill" style={{ width: `${percent}%` }} />
          </span>
        </ProgressBar>
        <p>{t("checkingHelp", { percent })}</p>
      </div>
    )
  }
  if (step.at === "waiting") {
    return (
      <div className="progress" role="status">
        <strong>{t("waiting")}</strong>
        <p className="place">{t("place", { position: step.position })}</p>
        <p>{t("waitingHelp", { ahead: step.ahead })}</p>
        <Button className="button quiet" onPress={onLeave}>
          {t("leave")}
        </Button>
      </div>
    )
  }
  if (step.at === "joining" || step.at === "asking") {
    return (
      <div className="progress" role="status">
        <ProgressBar isIndeterminate aria-label={step.at === "joining" ? t("joining") : t("asking")}>
          <strong>{step.at === "joining" ? t("joining") : t("asking")}</strong>
          <span className="stock-bar">
            <span className="stock-fill flowing" />
          </span>
        </ProgressBar>
        <p>{t("askingHelp")}</p>
      </div>
    )
  }
  return null
}

/** Runs the purchase; one at a time, ended when the page is left. */
const usePurchase = (product: Product) => {
  const [step, setStep] = useState<Purchase.Step>({ at: "idle" })
  const running = useRef<AbortController>(undefined)
  const navigate = useNavigate()
  const queries = useQueryClient()
  const start = useCallback(
    (quantity: number) => {
      if (running.current !== undefined) return
      const controller = new AbortController()
      running.current = controller
      const report = (next: Purchase.Step): void => {
        if (controller.signal.aborted) return
        setStep(next)
        if (next.at === "bought") {
          void queries.invalidateQueries({ queryKey: keys.orders })
          void navigate({ to: "/s/orders/$num", params: { num: next.orderNum } })
        }
        if (next.at === "refused") void queries.invalidateQueries({ queryKey: keys.product(product.id) })
      }
      void Purchase.purchase({ client, product, quantity, report, signal: controller.signal }).finally(() => {
        if (running.current === controller) running.current = undefined
      })
    },
    [navigate, product, queries],
  )
  const leave = useCallback(() => {
    running.current?.abort()
    running.current = undefined
    Purchase.abandon(product.id)
    setStep({ at: "idle" })
  }, [product.id])
  useEffect(
    () => () => {
      running.current?.abort()
      running.current = undefined
    },
    [],
  )
  return { step, start, leave }
}

const Buy = ({ open, product }: { readonly product: Product; readonly open: boolean }) => {
  const t = useTranslations("buy")
  const words = useTranslations("product")
  const money = useMoney()
  const user = useUser()
  const [quantity, setQuantity] = useState(1)
  const { leave, start, step } = usePurchase(product)
  const interrupted = user === undefined ? undefined : Purchase.unsettled(product.id)
  const resumed = useRef(false)

  // A place in line or an unanswered wish goes on by itself after a reload: it is the same wish.
  useEffect(() => {
    if (interrupted === undefined || resumed.current || !open) return
    resumed.current = true
    start(interrupted.quantity)
  }, [interrupted, open, start])
  // React may take effects back and make them again: then what was interrupted goes on again.
  useEffect(
    () => () => {
      resumed.current = false
    },
    [],
  )

  const { status } = product
  const busy = step.at !== "idle" && step.at !== "refused"
  const closed =
    status === "ended"
      ? t("ended")
      : status === "draft" || status === "withdrawn"
        ? t("unavailable")
        : open && (status === "sold_out" || product.stock <= 0)
          ? t("soldOut")
          : open
            ? undefined
            : t("notYet")
  const most = Math.max(1, Math.min(product.per_user_limit, open ? product.stock : product.per_user_limit))
  const wished = Math.min(quantity, most)
  return (
    <div className="buy">
      {step.at === "refused" && <ErrorNote error={step.error} onRetry={() => start(wished)} />}
      <Progress step={step} onLeave={leave} />
      {!busy && product.per_user_limit > 1 && closed === undefined && (
        <NumberField
          className="quantity"
          value={wished}
          minValue={1}
          maxValue={most}
          onChange={(next) => setQuantity(Number.isNaN(next) ? 1 : next)}
        >
          <Label>{words("quantity")}</Label>
          <Group>
            <Button slot="decrement" aria-label={words("fewer")}>
              −
            </Button>
            <Input />
            <Button slot="increment" aria-label={words("moreOf")}>
              +
            </Button>
          </Group>
        </NumberField>
      )}
      {!busy &&
        (user === undefined && closed === undefined ? (
          <Link className="button go" to="/s/sign-in" search={{ next: `/s/products/${product.id}` }}>
            {t("signIn")}
          </Link>
        ) : (
          <Button className="button go" isDisabled={closed !== undefined} onPress={() => start(wished)}>
            {closed ??
              (interrupted === undefined
                ? t("buy", { price: money(product.price * wished, product.currency) })
                : t("resume"))}
          </Button>
        ))}
    </div>
  )
}

const Found = ({ product }: { readonly product: Product }) => {
  const t = useTranslations("product")
  const format = useFormatter()
  const queries = useQueryClient()
  const { end_time, id, start_time, status } = product
  const toStart = useSecondsUntil(start_time) ?? 0
  const toEnd = useSecondsUntil(end_time)
  const over = status === "ended" || toEnd === 0
  const open = toStart === 0 && !over && (status === "live" || status === "upcoming" || status === "sold_out")
  const upcoming = status === "upcoming" && toStart > 0
  // Whether it is open is the clock's to say; what the edge thinks of it follows within a second.
  useEffect(() => {
    if (open || over) void queries.invalidateQueries({ queryKey: keys.product(id) })
  }, [open, over, id, queries])
  const shown: Product = over ? { ...product, status: "ended" } : product
  const label = over
    ? t("status.ended")
    : open && status === "upcoming"
      ? t("status.live")
      : t(`status.${status}`)
  return (
    <article className="product">
      <Basin product={upcoming ? { ...shown, stock: shown.initial_stock } : shown} />
      <div className="product-words">
        <p className={`chip ${open ? "open" : ""}`}>{label}</p>
        <Titled title={product.name} />
        <Price product={product} size="big" />
        {upcoming && (
          <>
            <Countdown until={start_time} label={t("opensIn")} size="large" />
            <p className="fine">
              {t("opensAt", {
                when: format.dateTime(new Date(start_time), { dateStyle: "medium", timeStyle: "short" }),
              })}
            </p>
          </>
        )}
        <p className="unseen" role="status">
          {open ? t("opened") : ""}
        </p>
        {!over && <Stock product={shown} size="large" />}
        {open && end_time !== null && <Countdown until={end_time} label={t("closesIn")} size="small" />}
        <Buy product={shown} open={open} />
        {product.description !== "" && <p className="description">{product.description}</p>}
        <ul className="facts">
          <li>{t("limit", { n: product.per_user_limit })}</li>
          {product.access.waiting_room && <li>{t("room")}</li>}
          {product.access.challenge && <li>{t("check")}</li>}
        </ul>
        <section className="how" aria-labelledby="how">
          <h2 id="how">{t("how")}</h2>
          <ol>
            <li>{t("how1")}</li>
            <li>{t("how2")}</li>
            <li>{t("how3")}</li>
          </ol>
        </section>
      </div>
    </article>
  )
}

export const ProductPage = () => {
  const t = useTranslations("common")
  const { id } = useParams({ from: "/s/products/$id" })
  const number = Number(id)
  const query = useQuery(productQuery(number))
  useTopics([`stock:${number}`])
  if (query.data !== undefined) return <Found key={number} product={query.data} />
  if (query.error !== null) {
    return <ErrorNote error={query.error} onRetry={() => void query.refetch()} />
  }
  return (
    <p className="none" role="status">
      {t("loading")}
    </p>
  )
}
