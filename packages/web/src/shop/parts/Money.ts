/** Amounts are whole minor units; how many make a major one is the currency's own. */
import { useLanguage } from "../../texts/Language.tsx"

const formats = new Map<string, Intl.NumberFormat>()

const formatOf = (language: string, currency: string): Intl.NumberFormat => {
  const name = `${language} ${currency}`
  const known = formats.get(name)
  if (known !== undefined) return known
  const made = new Intl.NumberFormat(language, {
    style: "currency",
    currency,
    currencyDisplay: "narrowSymbol",
  })
  formats.set(name, made)
  return made
}

/** `¥199.00`; signed where asked. */
export const useMoney = (): ((amount: number, currency: string, signed?: boolean) => string) => {
  const { language } = useLanguage()
  return (amount, currency, signed = false) => {
    const format = formatOf(language, currency)
    const text = format.format(amount / 10 ** (format.resolvedOptions().maximumFractionDigits ?? 2))
    return signed && amount > 0 ? `+${text}` : text
  }
}
