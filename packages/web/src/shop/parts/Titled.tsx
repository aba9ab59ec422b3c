/** A page's heading, which is the document's title, too. */
import { type ReactNode, useEffect } from "react"
import { useTranslations } from "use-intl"

interface Props {
  readonly title: string
  readonly children?: ReactNode
  readonly className?: string
}

export const Titled = ({ children, className, title }: Props) => {
  const t = useTranslations("brand")
  const name = t("name")
  useEffect(() => {
    document.title = `${title} · ${name}`
  }, [title, name])
  return <h1 className={className}>{children ?? title}</h1>
}
