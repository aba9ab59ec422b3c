/** The language of `msg`, by `Accept-Language` (RFC 9110 §12.5.4): Chinese where it is preferred, else English. */
import type { CatalogueRow } from "@floodgate/contracts/errors/Catalogue"

export type Language = "en" | "zh"

// A longer header is cut: nobody reads twenty languages.
const MAX_RANGES = 20

const weightOf = (parameters: ReadonlyArray<string>): number => {
  for (const parameter of parameters) {
    const match = /^\s*q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)\s*$/i.exec(parameter)
    if (match !== null) return Number(match[1])
  }
  return 1
}

/** The better liked of our two languages; the earlier one where both are liked alike. */
export const of = (header: string | undefined): Language => {
  if (header === undefined || header === "") return "en"
  let best: Language = "en"
  let bestWeight = 0
  for (const range of header.split(",", MAX_RANGES)) {
    const [tag, ...parameters] = range.split(";")
    const primary = tag!.trim().toLowerCase().split("-", 1)[0]
    if (primary !== "en" && primary !== "zh" && primary !== "*") continue
    const weight = weightOf(parameters)
    if (weight > bestWeight) {
      best = primary === "zh" ? "zh" : "en"
      bestWeight = weight
    }
  }
  return best
}

/** What a person is told. */
export const wordsOf = (row: CatalogueRow, language: Language): string => row[language]
