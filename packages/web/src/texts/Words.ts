import type { en } from "./en.ts"

/** The shape of a dictionary: the English one's, with any text in the place of its texts. */
type TextsOf<T> = { readonly [K in keyof T]: T[K] extends string ? string : TextsOf<T[K]> }

export type Words = TextsOf<typeof en>

declare module "use-intl" {
  interface AppConfig {
    Messages: Words
    Locale: "zh" | "en"
  }
}
