/** What only somebody signed in can see; everybody else is asked to sign in, and comes back. */
import { Link, useRouterState } from "@tanstack/react-router"
import type { ReactNode } from "react"
import { useTranslations } from "use-intl"
import { useUser } from "../../session/Session.ts"

export const SignedIn = ({ children }: { readonly children: ReactNode }) => {
  const t = useTranslations("sign")
  const user = useUser()
  const path = useRouterState({ select: (state) => state.location.pathname })
  if (user !== undefined) return children
  return (
    <div className="note">
      <p>{t("why")}</p>
      <Link className="button go" to="/s/sign-in" search={{ next: path }}>
        {t("in")}
      </Link>
    </div>
  )
}
