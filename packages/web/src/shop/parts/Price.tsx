/** What it costs, and what it used to. */
import type { Product } from "@floodgate/client/Client"
import { useTranslations } from "use-intl"
import { useMoney } from "./Money.ts"

export const Price = ({ product, size }: { readonly product: Product; readonly size: "big" | "small" }) => {
  const t = useTranslations("list")
  const money = useMoney()
  const { currency, original_price: was, price } = product
  return (
    <p className={`price ${size}`}>
      <b>{money(price, currency)}</b>
      {was !== null && was > price && (
        <>
          <span className="unseen">{t("was", { price: money(was, currency) })}</span>
          <s aria-hidden="true">{money(was, currency)}</s>
        </>
      )}
    </p>
  )
}
