/** The provider's payment page: what a person sees behind `pay_url`. Plain HTML and forms, no script. */
import type { ProviderPayment } from "./Ledger.ts"

const escape = (text: string) =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;")

/** What a person, or a test, can do with a payment; the path's last part. */
export const actions = {
  succeed: "Pay now",
  fail: "Decline",
  delay: "Pay, but tell the shop 10 s later",
  repeat: "Pay, and tell the shop three times",
  "wrong-amount": "Tell the shop a wrong amount",
  late: "Pay even though the shop has closed it",
} as const

export type Action = keyof typeof actions

export const isAction = (text: string): text is Action => text in actions

export const page = (payment: ProviderPayment): string => {
  const amount = `${(payment.amount / 100).toFixed(2)} ${escape(payment.currency)}`
  const buttons = Object.entries(actions)
    .map(
      ([action, label]) =>
        `<form method="post" action="/pay/${encodeURIComponent(payment.payment_id)}/${action}"><button class="${action}">${label}</button></form>`,
    )
    .join("\n")
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Sandbox payment</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 26rem; margin: 3rem auto; padding: 0 1rem; color: #1c2333 }
dl { display: grid; grid-template-columns: auto 1fr; gap: .25rem 1rem }
dt { color: #667 } dd { margin: 0; overflow-wrap: anywhere }
button { width: 100%; margin: .3rem 0; padding: .7rem; font: inherit; border: 1px solid #c5cbd8; border-radius: .5rem; background: #fff; cursor: pointer }
button.succeed { background: #1a7f4b; border-color: #1a7f4b; color: #fff }
button:focus-visible { outline: 3px solid #7aa7ff }
</style>
</head>
<body>
<h1>Sandbox payment</h1>
<p>No real money moves here.</p>
<dl>
<dt>Amount</dt><dd><strong>${amount}</strong></dd>
<dt>Order</dt><dd>${escape(payment.order_num)}</dd>
<dt>Payment</dt><dd>${escape(payment.payment_id)}</dd>
<dt>Status</dt><dd id="status">${payment.status}</dd>
</dl>
${buttons}
</body>
</html>
`
}
