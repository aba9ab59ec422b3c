/** What is around every page: the way around, who is signed in, the language, and whether the page is live. */
import { Link, Outlet, useRouterState } from "@tanstack/react-router"
import { useEffect, useRef } from "react"
import { Button, ToggleButton, ToggleButtonGroup } from "react-aria-components"
import { useTranslations } from "use-intl"
import { useConnection } from "../../live/Live.ts"
import { signOut, useUser } from "../../session/Session.ts"
import { type Language, useLanguage } from "../../texts/Language.tsx"

const LanguageSwitch = () => {
  const t = useTranslations("nav")
  const { choose, language } = useLanguage()
  return (
    <ToggleButtonGroup
      className="languages"
      aria-label={t("language")}
      selectionMode="single"
      disallowEmptySelection
      selectedKeys={[language]}
      onSelectionChange={(chosen) => {
        for (const key of chosen) choose(key as Language)
      }}
    >
      <ToggleButton id="zh" aria-label="中文">
        中
      </ToggleButton>
      <ToggleButton id="en" aria-label="English">
        EN
      </ToggleButton>
    </ToggleButtonGroup>
  )
}

const LiveSign = () => {
  const t = useTranslations("live")
  const connection = useConnection()
  if (connection === "idle") return null
  const live = connection === "live"
  return (
    <span className={live ? "signal on" : "signal"} title={live ? t("hintOn") : t("hintOff")} role="status">
      {live ? t("on") : t("off")}
    </span>
  )
}

const Account = () => {
  const t = useTranslations("nav")
  const user = useUser()
  const path = useRouterState({ select: (state) => state.location.pathname })
  if (user === undefined) {
    return (
      <Link className="button quiet" to="/s/sign-in" search={{ next: path }}>
        {t("signIn")}
      </Link>
    )
  }
  return (
    <>
      <span className="who" title={t("account", { name: user.username })}>
        {user.username}
      </span>
      <Button className="button quiet" onPress={() => void signOut()}>
        {t("signOut")}
      </Button>
    </>
  )
}

export const Layout = () => {
  const t = useTranslations()
  const main = useRef<HTMLElement>(null)
  const path = useRouterState({ select: (state) => state.resolvedLocation?.pathname })
  const first = useRef(true)
  // A page that comes without a load of the document says so to those who don't see it.
  useEffect(() => {
    if (path === undefined) return
    if (first.current) first.current = false
    else main.current?.focus({ preventScroll: true })
  }, [path])
  return (
    <>
      <a className="skip" href="#main">
        {t("nav.skip")}
      </a>
      <header className="top">
        <Link className="brand" to="/">
          <span className="mark" aria-hidden="true" />
          {t("brand.name")}
        </Link>
        <LiveSign />
        <nav aria-label={t("nav.label")}>
          <Link to="/" activeOptions={{ exact: true }}>
            {t("nav.sales")}
          </Link>
          <Link to="/s/orders">{t("nav.orders")}</Link>
          <Link to="/s/wallet">{t("nav.wallet")}</Link>
        </nav>
        <div className="tools">
          <Account />
          <LanguageSwitch />
        </div>
      </header>
      <main id="main" ref={main} tabIndex={-1}>
        <Outlet />
      </main>
      <footer>
        <p>{t("brand.tagline")}</p>
        <p>
          <a href="/docs">API</a>
        </p>
      </footer>
    </>
  )
}
