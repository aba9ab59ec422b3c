/** Shows what somebody's roles permit. */
import type { Permission } from "@floodgate/client/gen/Roles"
import { Result } from "antd"
import type { ReactNode } from "react"
import { useTranslations } from "use-intl"
import { useUser } from "../../session/Session.ts"
import { permits } from "../pages.ts"

/** Whether whoever is signed in has the permission. */
export const usePermits = (): ((permission: Permission) => boolean) => {
  const roles = useUser()?.roles ?? []
  return (permission) => permits(roles, permission)
}

/** A page, or the word that it isn't this account's. */
export const Guarded = ({
  children,
  permission,
}: {
  readonly children: ReactNode
  readonly permission: Permission
}) => {
  const t = useTranslations("console.shell")
  const may = usePermits()
  if (may(permission)) return children
  return <Result status="403" title={t("forbidden")} subTitle={t("forbiddenHelp", { permission })} />
}
