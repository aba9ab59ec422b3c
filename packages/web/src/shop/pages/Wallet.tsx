/** What is in the wallet, what moved it, and putting more in. */
import { type Payment, unwrap } from "@floodgate/client/Client"
import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query"
import { Link } from "@tanstack/react-router"
import { useEffect, useState } from "react"
import { Button, Form, Input, Label, NumberField, Text } from "react-aria-components"
import { useFormatter, useTranslations } from "use-intl"
import { useTopics } from "../../live/Live.ts"
import { forget, keep, kept, keyFor } from "../../session/Kept.ts"
import { client } from "../../session/Session.ts"
import { ErrorNote } from "../parts/ErrorNote.tsx"
import { useMoney } from "../parts/Money.ts"
import { isPayUrl } from "../parts/PayUrl.ts"
import { SignedIn } from "../parts/SignedIn.tsx"
import { Titled } from "../parts/Titled.tsx"
import { entries, keys, wallet } from "../queries.ts"

/** The contract's bound, minor units. */
const MOST = 10_000_000_000
const FIRST = 10_000
const POLL_MS = 1_000
/** How long after its payment a top-up is looked for in the wallet, which is credited a moment later. */
const CREDIT_MS = 15_000

const KEY = "topup"
const PENDING = "topup.pending"

interface Pending {
  readonly paymentId: string
  readonly amount: number
  readonly payUrl: string
}

const isPending = (value: unknown): value is Pending => {
  const { amount, paymentId, payUrl } = (value ?? {}) as Partial<Pending>
  return typeof paymentId === "string" && typeof amount === "number" && isPayUrl(payUrl)
}

/** A top-up that has been asked for and isn't paid yet: it is looked at until it is settled. */
const Waiting = ({
  currency,
  onEnd,
  pending,
}: {
  readonly pending: Pending
  readonly currency: string
  readonly onEnd: (payment: Payment) => void
}) => {
  const t = useTranslations()
  const money = useMoney()
  const query = useQuery({
    queryKey: ["payment", pending.paymentId],
    queryFn: ({ signal }) =>
      unwrap(
        client.http.GET("/payments/{payment_id}", {
          params: { path: { payment_id: pending.paymentId } },
          signal,
        }),
      ),
    refetchInterval: POLL_MS,
  })
  const payment = query.data
  useEffect(() => {
    if (payment !== undefined && ["succeeded", "declined", "closed"].includes(payment.status)) onEnd(payment)
  }, [payment, onEnd])
  return (
    <div className="note">
      <p role="status">{t("wallet.waiting", { amount: money(pending.amount, currency) })}</p>
      <a className="button go" href={pending.payUrl} target="_blank" rel="noopener noreferrer">
        {t("order.openProvider")}
      </a>
      <p className="fine">{t("order.providerHelp")}</p>
    </div>
  )
}

const TopUp = ({ currency }: { readonly currency: string }) => {
  const t = useTranslations("wallet")
  const money = useMoney()
  const queries = useQueryClient()
  const [amount, setAmount] = useState(FIRST)
  const [pending, setPending] = useState(() => kept(PENDING, isPending))
  const [ended, setEnded] = useState<Payment>()
  const start = useMutation({
    mutationFn: () =>
      unwrap(
        client.http.POST("/wallet/topups", {
          // Another amount is another wish.
          params: { header: { "idempotency-key": keyFor(`${KEY}.${amount}`) } },
          body: { amount, channel: "sandbox" },
        }),
      ),
    onSuccess: (payment) => {
      if (payment.status !== "requires_action" || !isPayUrl(payment.pay_url)) return setEnded(payment)
      const next = { paymentId: payment.payment_id, amount: payment.amount, payUrl: payment.pay_url }
      keep(PENDING, next)
      setEnded(undefined)
      setPending(next)
    },
  })
  useEffect(() => {
    if (ended?.status !== "succeeded") return
    const looking = setInterval(() => void queries.invalidateQueries({ queryKey: keys.wallet }), POLL_MS)
    const enough = setTimeout(() => clearInterval(looking), CREDIT_MS)
    return () => {
      clearInterval(looking)
      clearTimeout(enough)
    }
  }, [ended, queries])
  const onEnd = (payment: Payment): void => {
    forget(PENDING)
    forget(`${KEY}.${payment.amount}`)
    setPending(undefined)
    setEnded(payment)
    void queries.invalidateQueries({ queryKey: keys.wallet })
  }
  return (
    <section aria-labelledby="top-up">
      <h2 id="top-up">{t("topUp")}</h2>
      {ended !== undefined && (
        <p className={ended.status === "succeeded" ? "note good" : "note bad"} role="status">
          {ended.status === "succeeded"
            ? t("done", { amount: money(ended.amount, ended.currency) })
            : t("failed")}
        </p>
      )}
      {pending !== undefined ? (
        <Waiting pending={pending} currency={currency} onEnd={onEnd} />
      ) : (
        <Form
          className="form"
          onSubmit={(event) => {
            event.preventDefault()
            start.mutate()
          }}
        >
          <NumberField
            value={amount / 100}
            minValue={1}
            maxValue={MOST / 100}
            isRequired
            formatOptions={{ style: "currency", currency, currencyDisplay: "narrowSymbol" }}
            onChange={(next) => {
              if (!Number.isNaN(next)) setAmount(Math.round(next * 100))
            }}
          >
            <Label>{t("amount")}</Label>
            <Input />
            <Text slot="description" className="fine">
              {t("amountHelp", { currency })}
            </Text>
          </NumberField>
          {start.error !== null && <ErrorNote error={start.error} />}
          <Button className="button" type="submit" isDisabled={start.isPending}>
            {t("start")}
          </Button>
        </Form>
      )}
    </section>
  )
}

const Entries = ({ currency }: { readonly currency: string }) => {
  const t = useTranslations()
  const format = useFormatter()
  const money = useMoney()
  const query = useInfiniteQuery(entries())
  if (query.data === undefined) return query.error === null ? null : <ErrorNote error={query.error} />
  const items = query.data.pages.flatMap((page) => page.items)
  return (
    <section aria-labelledby="entries">
      <h2 id="entries">{t("wallet.entries")}</h2>
      {items.length === 0 && <p className="none">{t("wallet.none")}</p>}
      <ul className="rows">
        {items.map((entry) => (
          <li key={entry.id} className="row">
            <span className={entry.amount < 0 ? "drop clay" : "drop moss"} aria-hidden="true" />
            <div>
              {entry.order_num === null ? (
                t(`wallet.kind.${entry.kind}`)
              ) : (
                <Link to="/s/orders/$num" params={{ num: entry.order_num }}>
                  {t(`wallet.kind.${entry.kind}`)}
                </Link>
              )}
              <p className="fine">
                {format.dateTime(new Date(entry.created_at), { dateStyle: "medium", timeStyle: "short" })}
              </p>
            </div>
            <div className="row-end">
              <b>{money(entry.amount, currency, true)}</b>
              <span className="fine">
                {t("wallet.after", { balance: money(entry.balance_after, currency) })}
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
    </section>
  )
}

const Shown = () => {
  const t = useTranslations("wallet")
  const common = useTranslations("common")
  const money = useMoney()
  const query = useQuery(wallet())
  useTopics(["orders"])
  if (query.data === undefined) {
    return query.error === null ? (
      <p className="none" role="status">
        {common("loading")}
      </p>
    ) : (
      <ErrorNote error={query.error} onRetry={() => void query.refetch()} />
    )
  }
  const { balance, currency } = query.data
  return (
    <>
      <p className="balance">
        <span>{t("balance")}</span>
        <b>{money(balance, currency)}</b>
      </p>
      <TopUp currency={currency} />
      <Entries currency={currency} />
    </>
  )
}

export const Wallet = () => {
  const t = useTranslations("wallet")
  return (
    <div className="narrow">
      <Titled title={t("title")} />
      <SignedIn>
        <Shown />
      </SignedIn>
    </div>
  )
}
