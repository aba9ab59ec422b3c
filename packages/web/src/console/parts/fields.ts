/** Fields of forms and filters: what each kind starts with, and what the API gets of what was entered. */

interface Base {
  /** As the API calls it. */
  readonly name: string
  readonly optional?: boolean
  /** As the API gives it. */
  readonly initial?: unknown
}

export type Field = Base &
  (
    | { readonly kind: "text" | "paragraphs"; readonly max?: number }
    | { readonly kind: "whole"; readonly min?: number; readonly max?: number }
    | { readonly kind: "decimal"; readonly min: number; readonly max: number }
    /** Entered in major units, sent in minor ones. */
    | { readonly kind: "money" }
    /** Entered in the time of this machine. */
    | { readonly kind: "time" }
    | { readonly kind: "choice" | "choices"; readonly options: ReadonlyArray<string> }
    | { readonly kind: "flag" }
    | { readonly kind: "image" }
    | { readonly kind: "json" }
  )

/** Minor units of one major unit. The goods are sold in one currency, which has hundredths. */
const MINOR = 100

const two = (n: number): string => String(n).padStart(2, "0")

/** What `datetime-local` takes: this machine's time, to the second. */
export const localOf = (instant: string): string => {
  const at = new Date(instant)
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}T${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`
}

/** What a form starts with. */
export const entered = ({ initial, kind }: Field): unknown => {
  if (initial === null || initial === undefined) return kind === "flag" ? false : undefined
  if (kind === "money") return (initial as number) / MINOR
  if (kind === "time") return localOf(initial as string)
  if (kind === "json") return JSON.stringify(initial, null, 2)
  return initial
}

/** What is sent of what was entered; undefined is left out. */
export const sent = ({ kind }: Field, value: unknown): unknown => {
  if (value === undefined || value === null || value === "") return undefined
  if (kind === "money") return Math.round((value as number) * MINOR)
  if (kind === "time") return new Date(value as string).toISOString()
  if (kind === "json") return JSON.parse(value as string)
  return value
}

export const isJson = (text: string): boolean => {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}
