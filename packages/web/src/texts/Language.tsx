/** Which language the page speaks: the one chosen before, else the browser's first that we have, else English. */
import { createContext, type ReactNode, use, useCallback, useEffect, useMemo, useState } from "react"
import { I18nProvider } from "react-aria-components"
import { IntlProvider } from "use-intl"
import { en } from "./en.ts"
import type { Dictionaries } from "./Words.ts"
import { zh } from "./zh.ts"

export type Language = "zh" | "en"

const shop: Dictionaries = { en, zh }
const KEY = "floodgate.language"

const isLanguage = (text: unknown): text is Language => text === "zh" || text === "en"

const initial = (): Language => {
  const chosen = localStorage.getItem(KEY)
  if (isLanguage(chosen)) return chosen
  for (const tag of navigator.languages) {
    const base = tag.slice(0, 2).toLowerCase()
    if (isLanguage(base)) return base
  }
  return "en"
}

let spoken: Language = initial()

/** For requests: the edge's own words come in the same language. */
export const language = (): Language => spoken

interface Choice {
  readonly language: Language
  readonly choose: (next: Language) => void
}

const Chosen = createContext<Choice>({ language: spoken, choose: () => undefined })

export const useLanguage = (): Choice => use(Chosen)

const tags: Readonly<Record<Language, string>> = { en: "en", zh: "zh-CN" }

interface Props {
  readonly children: ReactNode
  /** The storefront's unless said. */
  readonly words?: Dictionaries
}

export const LanguageProvider = ({ children, words = shop }: Props) => {
  const [current, setCurrent] = useState(spoken)
  const choose = useCallback((next: Language) => {
    spoken = next
    localStorage.setItem(KEY, next)
    setCurrent(next)
  }, [])
  useEffect(() => {
    document.documentElement.lang = tags[current]
  }, [current])
  const choice = useMemo(() => ({ language: current, choose }), [current, choose])
  return (
    <Chosen value={choice}>
      <I18nProvider locale={tags[current]}>
        <IntlProvider locale={current} messages={words[current]} timeZone={zone}>
          {children}
        </IntlProvider>
      </I18nProvider>
    </Chosen>
  )
}

const zone = Intl.DateTimeFormat().resolvedOptions().timeZone
