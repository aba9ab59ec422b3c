/** Names of the contract's fields, and of the words that they hold, in the reader's language. */
import { useTranslations } from "use-intl"

/** What has no name here (a field that the edge has newly got) is shown by its own. */
export const useNames = () => {
  const t = useTranslations("console")
  const named = (group: "field" | "word") => (name: string) => {
    const key = `${group}.${name.replaceAll(".", "_")}`
    return t.has(key as never) ? t(key as never) : name
  }
  return { field: named("field"), word: named("word") }
}
