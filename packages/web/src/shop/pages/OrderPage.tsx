/** One order, from the moment it was asked for: where it stands, paying, cancelling. */
import type { Order, Payment } from "@floodgate/client/Client"
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query"
import { Link, useParams } from "@tanstack/react-router"
import { useState } from "react"
import {
  Button,
  Dialog,
  DialogTrigger,
  Heading,
  Label,
  Modal,
  ModalOverlay,
  Radio,
  RadioGroup,
} from "react-aria-components"
import { useFormatter, useTranslations } from "use-intl"
import { useSecondsUntil } from "../../live/Clock.ts"
import { useTopics } from "../../live/Live.ts"
import { forget, keep, kept, keyFor } from "../../session/Kept.ts"
import { client } from "../../session/Session.ts"
import { hueOf } from "../parts/Basin.tsx"
import { Countdown } from "../parts/Countdown.tsx"
import { ErrorNote } from "../parts/ErrorNote.tsx"
import { useMoney } from "../parts/Money.ts"
import { isPayUrl } from "../parts/PayUrl.ts"
import { SignedIn } from "../parts/SignedIn.tsx"
import { Titled } from "../parts/Titled.tsx"
import { keys, order as orderQuery, wallet } from "../queries.ts"

const channels = ["balance", "sandbox"] as const
type Channel = (typeof channels)[number]

const Steps = ({ order }: { readonly order: Order }) => {
  const t = useTranslations("order.steps")
  const reached = order.state === "queued" || order.state === "rejected" ? 1 : order.paid_at !== null ? 3 : 2
  const steps = ["reserved", "ordered", "paid"] as const
  return (
    <ol className="steps" aria-label={t("label")}>
      {steps.map((step, i) => (
        <li
          key={step}
          className={i < reached ? "done" : ""}
          {...(i === reached - 1 ? { "aria-current": "step" as const } : {})}
        >
          {t(step)}
        </li>
      ))}
    </ol>
  )
}

const isText = (value: unknown): value is string => typeof value === "string"

const Pay = ({ order }: { readonly order: Order }) => {
  const t = useTranslations()
  const money = useMoney()
  const queries = useQueryClient()
  const balance = useQuery(wallet())
  const [channel, setChannel] = useState<Channel>("balance")
  const name = `pay.${order.order_num}.${channel}`
  const urlName = `${name}.url`
  const [payUrl, setPayUrl] = useState(() => kept(`pay.${order.order_num}.sandbox.url`, isText))
  const pay = useMutation({
    mutationFn: () => client.pay(order.order_num, channel, keyFor(name)),
    onSuccess: (payment: Payment) => {
      if (payment.status === "declined" || payment.status === "closed") forget(name)
      if (payment.status === "requires_action" && isPayUrl(payment.pay_url)) {
        keep(urlName, payment.pay_url)
        setPayUrl(payment.pay_url)
      }
      void queries.invalidateQueries({ queryKey: keys.wallet })
    },
    onError: () => forget(name),
    onSettled: () => void queries.invalidateQueries({ queryKey: keys.order(order.order_num) }),
  })
  const declined = order.payment?.status === "declined" || pay.data?.status === "declined"
  const waits = payUrl !== undefined && channel === "sandbox" && !declined
  return (
    <section className="pay">
      <RadioGroup
        value={channel}
        onChange={(next) => {
          setChannel(next as Channel)
          pay.reset()
        }}
      >
        <Label>{t("order.payWith")}</Label>
        {channels.map((each) => (
          <Radio key={each} value={each} className="choice">
            <b>{t(`order.${each}`)}</b>
            <span className="fine">
              {each === "sandbox"
                ? t("order.sandboxHas")
                : balance.data === undefined
                  ? ""
                  : t("order.balanceHas", { balance: money(balance.data.balance, balance.data.currency) })}
            </span>
          </Radio>
        ))}
      </RadioGroup>
      {declined && (
        <p className="note bad" role="alert">
          {t("order.declined")}
        </p>
      )}
      {pay.error !== null && <ErrorNote error={pay.error} onRetry={() => pay.mutate()} />}
      {pay.data?.status === "processing" && <p role="status">{t("order.processing")}</p>}
      {waits ? (
        <>
          <a className="button go" href={payUrl} target="_blank" rel="noopener noreferrer">
            {t("order.openProvider")}
          </a>
          <p className="fine" role="status">
            {t("order.providerHelp")}
          </p>
        </>
      ) : (
        <Button className="button go" isDisabled={pay.isPending} onPress={() => pay.mutate()}>
          {t("order.pay", { price: money(order.amount, order.currency) })}
        </Button>
      )}
    </section>
  )
}

const Cancel = ({ orderNum }: { readonly orderNum: string }) => {
  const t = useTranslations("order")
  const queries = useQueryClient()
  const cancel = useMutation({
    mutationFn: () => client.cancel(orderNum),
    onSettled: () => void queries.invalidateQueries({ queryKey: keys.order(orderNum) }),
  })
  return (
    <>
      {cancel.error !== null && <ErrorNote error={cancel.error} />}
      <DialogTrigger>
        <Button className="button quiet">{t("cancel")}</Button>
        <ModalOverlay className="overlay" isDismissable>
          <Modal className="modal">
            <Dialog role="alertdialog">
              {({ close }) => (
                <>
                  <Heading slot="title">{t("cancelTitle")}</Heading>
                  <p>{t("cancelHelp")}</p>
                  <div className="buttons">
                    <Button className="button" autoFocus onPress={close}>
                      {t("cancelNo")}
                    </Button>
                    <Button
                      className="button danger"
                      isDisabled={cancel.isPending}
                      onPress={() => cancel.mutate(undefined, { onSettled: close })}
                    >
                      {t("cancelYes")}
                    </Button>
                  </div>
                </>
              )}
            </Dialog>
          </Modal>
        </ModalOverlay>
      </DialogTrigger>
    </>
  )
}

const Unpaid = ({ order }: { readonly order: Order }) => {
  const t = useTranslations("order")
  const left = useSecondsUntil(order.expires_at)
  return (
    <>
      {order.expires_at !== null && (
        <Countdown until={order.expires_at} label={t("payBefore")} size="large" />
      )}
      {left !== 0 && <Pay order={order} />}
      <Cancel orderNum={order.order_num} />
    </>
  )
}

const Facts = ({ order }: { readonly order: Order }) => {
  const t = useTranslations("order")
  const format = useFormatter()
  const money = useMoney()
  const at = (instant: string) =>
    format.dateTime(new Date(instant), { dateStyle: "medium", timeStyle: "medium" })
  const facts: ReadonlyArray<readonly [string, string]> = [
    [t("amount"), money(order.amount, order.currency)],
    [t("quantity"), String(order.quantity)],
    [t("placed"), at(order.created_at)],
    ...(order.paid_at === null ? [] : [[t("paidAt"), at(order.paid_at)] as const]),
    ...(order.cancelled_at === null ? [] : [[t("cancelledAt"), at(order.cancelled_at)] as const]),
    [t("number"), order.order_num],
  ]
  return (
    <dl className="facts-list">
      {facts.map(([term, value]) => (
        <div key={term}>
          <dt>{term}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  )
}

const Found = ({ order }: { readonly order: Order }) => {
  const t = useTranslations("order")
  const money = useMoney()
  const reason = order.cancel_reason ?? order.reject_reason
  return (
    <article className={`order ${order.state}`}>
      <header className="order-top">
        <span className={`drop ${hueOf(order.product_id)}`} aria-hidden="true" />
        <div>
          <p className="order-state" role="status">
            {t(`state.${order.state}`)}
          </p>
          <p>
            {t(`stateHelp.${order.state}`)} {reason !== null && t(`reason.${reason}`)}
          </p>
        </div>
      </header>
      <Steps order={order} />
      <p className="order-product">
        <Link to="/s/products/$id" params={{ id: String(order.product_id) }}>
          {order.product_name}
        </Link>
      </p>
      {order.state === "unpaid" && <Unpaid order={order} />}
      {order.refund !== null && (
        <p className="note">
          {t("refund", {
            amount: money(order.refund.amount, order.currency),
            status: t(`refundStatus.${order.refund.status}`),
          })}
        </p>
      )}
      <Facts order={order} />
    </article>
  )
}

const Shown = () => {
  const t = useTranslations("common")
  const { num } = useParams({ from: "/s/orders/$num" })
  const query = useQuery(orderQuery(num))
  useTopics(["orders"])
  if (query.data !== undefined) return <Found order={query.data} />
  if (query.error !== null) return <ErrorNote error={query.error} onRetry={() => void query.refetch()} />
  return (
    <p className="none" role="status">
      {t("loading")}
    </p>
  )
}

export const OrderPage = () => {
  const t = useTranslations("order")
  return (
    <div className="narrow">
      <Titled title={t("title")} />
      <SignedIn>
        <Shown />
      </SignedIn>
    </div>
  )
}
