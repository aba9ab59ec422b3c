/** Which page is at which address: the table of pages, each loaded when it is first opened. */
import { createRootRoute, createRoute, createRouter, lazyRouteComponent } from "@tanstack/react-router"
import { Crashed, FrontPage, Layout, NotFound } from "./Layout.tsx"
import { addressOf, pages } from "./pages.ts"
import { Guarded } from "./parts/Guarded.tsx"

const root = createRootRoute({ component: Layout, notFoundComponent: NotFound, errorComponent: Crashed })

const routeTree = root.addChildren([
  createRoute({ getParentRoute: () => root, path: "/console", component: FrontPage }),
  ...pages.map(({ load, name, permission }) => {
    const Page = lazyRouteComponent(load, "Page")
    return createRoute({
      getParentRoute: () => root,
      path: addressOf(name),
      component: () => (
        <Guarded permission={permission}>
          <Page />
        </Guarded>
      ),
    })
  }),
])

export const router = createRouter({
  routeTree,
  scrollRestoration: true,
  defaultPreload: false,
  // Filters are words, as in the API's own queries: `?product_id=7`.
  parseSearch: (text) => Object.fromEntries(new URLSearchParams(text)),
  stringifySearch: (search) => {
    const text = new URLSearchParams(
      Object.entries(search).filter(
        (entry): entry is [string, string] => typeof entry[1] === "string" && entry[1] !== "",
      ),
    ).toString()
    return text === "" ? "" : `?${text}`
  },
})
