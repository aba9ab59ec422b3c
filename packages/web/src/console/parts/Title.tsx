/** The head of a page: its name, what it is for, and what can be done here. */
import { Space } from "antd"
import { type ReactNode, useEffect } from "react"
import { useTranslations } from "use-intl"
import type { PageName } from "../pages.ts"

export const Title = ({ children, page }: { readonly children?: ReactNode; readonly page: PageName }) => {
  const t = useTranslations("console.page")
  const title = t(`${page}.title`)
  useEffect(() => {
    document.title = `${title} · Floodgate`
  }, [title])
  return (
    <div className="title">
      <div>
        <h1>{title}</h1>
        <p>{t(`${page}.help`)}</p>
      </div>
      <Space wrap>{children}</Space>
    </div>
  )
}
