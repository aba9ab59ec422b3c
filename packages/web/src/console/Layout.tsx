/** What is around every page: the menu of what one may see, who is signed in, the language, and the way in. */
import {
  AlertOutlined,
  AuditOutlined,
  BankOutlined,
  DashboardOutlined,
  DeploymentUnitOutlined,
  ExperimentOutlined,
  FieldTimeOutlined,
  FilterOutlined,
  GlobalOutlined,
  HistoryOutlined,
  InboxOutlined,
  KeyOutlined,
  MenuOutlined,
  PayCircleOutlined,
  ReconciliationOutlined,
  RollbackOutlined,
  SendOutlined,
  ShoppingOutlined,
  TagsOutlined,
  TeamOutlined,
} from "@ant-design/icons"
import { Outlet, useNavigate, useRouterState } from "@tanstack/react-router"
import { Button, Drawer, Result, Segmented, Skeleton } from "antd"
import { type ComponentType, Suspense, useEffect, useRef, useState } from "react"
import { useTranslations } from "use-intl"
import { useConnection } from "../live/Live.ts"
import { signOut, type User, useUser } from "../session/Session.ts"
import { type Language, useLanguage } from "../texts/Language.tsx"
import { addressOf, groups, type PageName, pagesOf } from "./pages.ts"
import { To } from "./parts/Address.tsx"
import { useNames } from "./parts/Names.ts"
import { Tag } from "./parts/Tag.tsx"
import { SignIn } from "./SignIn.tsx"

const icons: Readonly<Record<PageName, ComponentType<{ readonly "aria-hidden": true }>>> = {
  overview: DashboardOutlined,
  "sale-day": FieldTimeOutlined,
  products: TagsOutlined,
  "stock-log": HistoryOutlined,
  orders: ShoppingOutlined,
  payments: PayCircleOutlined,
  refunds: RollbackOutlined,
  users: TeamOutlined,
  decisions: AlertOutlined,
  rules: FilterOutlined,
  addresses: GlobalOutlined,
  limits: BankOutlined,
  experiments: ExperimentOutlined,
  "dead-letters": InboxOutlined,
  reconciliation: ReconciliationOutlined,
  audit: AuditOutlined,
  webhooks: DeploymentUnitOutlined,
  deliveries: SendOutlined,
  keys: KeyOutlined,
}

const Menu = ({ onChoose, user }: { readonly user: User; readonly onChoose?: () => void }) => {
  const t = useTranslations("console")
  const mine = pagesOf(user.roles)
  return (
    <nav aria-label={t("shell.menu")} className="menu">
      {groups.map((group) => {
        const here = mine.filter((page) => page.group === group)
        return here.length === 0 ? null : (
          <section key={group} aria-label={t(`group.${group}`)}>
            <h2>{t(`group.${group}`)}</h2>
            <ul>
              {here.map(({ name }) => {
                const Icon = icons[name]
                return (
                  <li key={name}>
                    <To page={name} {...(onChoose && { onClick: onChoose })}>
                      <Icon aria-hidden />
                      {t(`page.${name}.title`)}
                    </To>
                  </li>
                )
              })}
            </ul>
          </section>
        )
      })}
    </nav>
  )
}

const LanguageSwitch = () => {
  const { choose, language } = useLanguage()
  const t = useTranslations("nav")
  return (
    <Segmented<Language>
      aria-label={t("language")}
      size="small"
      value={language}
      onChange={choose}
      options={[
        { value: "zh", label: "中文" },
        { value: "en", label: "English" },
      ]}
    />
  )
}

const LiveSign = () => {
  const t = useTranslations("live")
  const connection = useConnection()
  if (connection === "idle") return null
  return (
    <span role="status">
      <Tag tone={connection === "live" ? "good" : "busy"}>{connection === "live" ? t("on") : t("off")}</Tag>
    </span>
  )
}

export const Layout = () => {
  const t = useTranslations()
  const { word } = useNames()
  const user = useUser()
  const [menu, setMenu] = useState(false)
  const main = useRef<HTMLElement>(null)
  const path = useRouterState({ select: (state) => state.resolvedLocation?.pathname })
  const first = useRef(true)
  // A page that comes without a load of the document says so to those who don't see it.
  useEffect(() => {
    if (path === undefined) return
    if (first.current) first.current = false
    else main.current?.focus({ preventScroll: true })
  }, [path])
  const mayEnter = user !== undefined && pagesOf(user.roles).length > 0
  return (
    <div className={mayEnter ? "shell" : "shell plain"}>
      <a className="skip" href="#main">
        {t("nav.skip")}
      </a>
      <header className="top">
        {mayEnter && (
          <Button
            className="burger"
            type="text"
            icon={<MenuOutlined />}
            aria-label={t("console.shell.menu")}
            onClick={() => setMenu(true)}
          />
        )}
        <a className="brand" href="/console">
          <span className="mark" aria-hidden="true" />
          Floodgate
        </a>
        <LiveSign />
        <div className="tools">
          {user !== undefined && (
            <>
              <span className="who" title={t("nav.account", { name: user.username })}>
                {user.username}
                <span className="fine">
                  {user.roles
                    .filter((role) => role !== "customer")
                    .map(word)
                    .join(", ")}
                </span>
              </span>
              <Button size="small" onClick={() => void signOut()}>
                {t("nav.signOut")}
              </Button>
            </>
          )}
          <LanguageSwitch />
        </div>
      </header>
      {mayEnter && (
        <aside className="side">
          <Menu user={user} />
        </aside>
      )}
      {mayEnter && (
        <Drawer
          open={menu}
          placement="left"
          size={280}
          title={t("console.shell.menu")}
          closable={{ "aria-label": t("console.shell.close") }}
          onClose={() => setMenu(false)}
        >
          <Menu user={user} onChoose={() => setMenu(false)} />
        </Drawer>
      )}
      <main id="main" ref={main} tabIndex={-1}>
        {user === undefined ? (
          <SignIn />
        ) : mayEnter ? (
          <Suspense fallback={<Skeleton active />}>
            <Outlet />
          </Suspense>
        ) : (
          <Result
            status="403"
            title={t("console.shell.noConsole")}
            subTitle={t("console.shell.noConsoleHelp")}
            extra={<a href="/">{t("nav.sales")}</a>}
          />
        )}
      </main>
    </div>
  )
}

/** `/console` leads to the first page that one may see. */
export const FrontPage = () => {
  const user = useUser()
  const navigate = useNavigate()
  const first = user === undefined ? undefined : pagesOf(user.roles)[0]
  useEffect(() => {
    if (first !== undefined) void navigate({ to: addressOf(first.name), replace: true } as never)
  }, [first, navigate])
  return null
}

export const NotFound = () => {
  const t = useTranslations("common")
  return (
    <Result
      status="404"
      title={t("notFound")}
      subTitle={t("notFoundHelp")}
      extra={<a href="/console">Floodgate</a>}
    />
  )
}

export const Crashed = () => {
  const t = useTranslations("common")
  return (
    <Result
      status="error"
      title={t("crashed")}
      extra={<Button onClick={() => location.reload()}>{t("retry")}</Button>}
    />
  )
}
