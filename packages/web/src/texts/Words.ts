import type { en as console } from "../console/texts/en.ts"
import type { en } from "./en.ts"

/** The shape of a dictionary: the English one's, with any text in the place of its texts. */
type TextsOf<T> = { readonly [K in keyof T]: T[K] extends string ? string : TextsOf<T[K]> }

export type Words = TextsOf<typeof en>

/** The console's own words, which the storefront doesn't load. */
export type ConsoleWords = TextsOf<typeof console>

export type Dictionaries = Readonly<Record<"zh" | "en", Words & { readonly console?: ConsoleWords }>>

declare module "use-intl" {
  interface AppConfig {
    Messages: Words & { readonly console: ConsoleWords }
    Locale: "zh" | "en"
  }
}
