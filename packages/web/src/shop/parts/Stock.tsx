/** How much is left, as a number and as a bar; both move while one looks. */
import type { Product } from "@floodgate/client/Client"
import { Meter } from "react-aria-components"
import { useTranslations } from "use-intl"
import { levelOf } from "./Basin.tsx"

export const Stock = ({ product, size }: { readonly product: Product; readonly size: "large" | "small" }) => {
  const t = useTranslations("product")
  const { initial_stock: total, stock: left } = product
  const level = levelOf(product)
  return (
    <Meter
      className={`stock ${size}`}
      value={left}
      maxValue={Math.max(1, total, left)}
      aria-label={t("left")}
      valueLabel={t("leftLabel", { left, total })}
    >
      <span className="stock-words">
        <span>{t.rich("leftOf", { left, b: (text) => <b>{text}</b> })}</span>
        <i>{t("of", { total })}</i>
      </span>
      <span className="stock-bar">
        <span
          className={level < 0.2 ? "stock-fill low" : "stock-fill"}
          style={{ width: `${level * 100}%` }}
        />
      </span>
    </Meter>
  )
}
