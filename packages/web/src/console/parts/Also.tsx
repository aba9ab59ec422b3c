/** Where else there is something about an object: links to the pages that one may see. */
import type { ReactNode } from "react"
import { useTranslations } from "use-intl"
import { type PageName, permissionFor } from "../pages.ts"
import { type Search, To } from "./Address.tsx"
import { usePermits } from "./Guarded.tsx"

interface Props {
  readonly links: ReadonlyArray<readonly [PageName, Search]>
  readonly children?: ReactNode
}

export const Also = ({ children, links }: Props) => {
  const t = useTranslations("console.page")
  const may = usePermits()
  return (
    <p className="also">
      {links
        .filter(([page]) => may(permissionFor(page)))
        .map(([page, search]) => (
          <To key={page} page={page} search={search}>
            {t(`${page}.title`)}
          </To>
        ))}
      {children}
    </p>
  )
}
