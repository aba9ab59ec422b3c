/** Which page is at which address. The edge answers `/` and everything below `/s/` with this application. */
import { createRootRoute, createRoute, createRouter, Link } from "@tanstack/react-router"
import { Button } from "react-aria-components"
import { useTranslations } from "use-intl"
import { OrderPage } from "./pages/OrderPage.tsx"
import { Orders } from "./pages/Orders.tsx"
import { ProductPage } from "./pages/ProductPage.tsx"
import { Sales } from "./pages/Sales.tsx"
import { SignIn } from "./pages/SignIn.tsx"
import { Wallet } from "./pages/Wallet.tsx"
import { Layout } from "./parts/Layout.tsx"
import { Titled } from "./parts/Titled.tsx"

const NotFound = () => {
  const t = useTranslations("common")
  return (
    <div className="narrow">
      <Titled title={t("notFound")} />
      <p>{t("notFoundHelp")}</p>
      <Link className="button" to="/">
        {t("toSales")}
      </Link>
    </div>
  )
}

const Crashed = () => {
  const t = useTranslations("common")
  return (
    <div className="narrow note bad" role="alert">
      <strong>{t("crashed")}</strong>
      <Button className="button quiet" onPress={() => location.reload()}>
        {t("retry")}
      </Button>
    </div>
  )
}

/** Pages of ours only: an address in a link must not lead elsewhere. */
const isOurs = (path: unknown): path is string =>
  typeof path === "string" && (path === "/" || /^\/s\/[\w/-]*$/.test(path))

const root = createRootRoute({ component: Layout, notFoundComponent: NotFound, errorComponent: Crashed })
const routeTree = root.addChildren([
  createRoute({ getParentRoute: () => root, path: "/", component: Sales }),
  createRoute({ getParentRoute: () => root, path: "/s/products/$id", component: ProductPage }),
  createRoute({ getParentRoute: () => root, path: "/s/orders", component: Orders }),
  createRoute({ getParentRoute: () => root, path: "/s/orders/$num", component: OrderPage }),
  createRoute({ getParentRoute: () => root, path: "/s/wallet", component: Wallet }),
  createRoute({
    getParentRoute: () => root,
    path: "/s/sign-in",
    validateSearch: ({ next }: Readonly<Record<string, unknown>>) => ({ next: isOurs(next) ? next : "/" }),
    component: SignIn,
  }),
])

export const router = createRouter({ routeTree, scrollRestoration: true, defaultPreload: false })

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router
  }
}
