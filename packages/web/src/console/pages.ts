/**
 * Every page of the console, once: the menu, the router and the guard of each page are read from this table. The edge
 * decides what somebody may do; here nobody is shown what would be refused.
 */
import { type Permission, permissionsOf } from "@floodgate/client/gen/Roles"
import type { ComponentType } from "react"

export const groups = ["now", "sales", "people", "system"] as const

interface Entry {
  /** The last part of its address, and the key of its words. */
  readonly name: string
  readonly group: (typeof groups)[number]
  /** Whoever hasn't got it neither finds the page in the menu nor gets it by its address. */
  readonly permission: Permission
  readonly load: () => Promise<{ readonly Page: ComponentType }>
}

export const pages = [
  {
    name: "overview",
    group: "now",
    permission: "report:read",
    load: () => import("./pages/Overview.tsx"),
  },
  { name: "sale-day", group: "now", permission: "product:read", load: () => import("./pages/SaleDay.tsx") },
  {
    name: "products",
    group: "sales",
    permission: "product:read",
    load: () => import("./pages/Products.tsx"),
  },
  { name: "stock-log", group: "sales", permission: "stock:read", load: () => import("./pages/StockLog.tsx") },
  { name: "orders", group: "sales", permission: "order:read", load: () => import("./pages/Orders.tsx") },
  {
    name: "payments",
    group: "sales",
    permission: "payment:read",
    load: () => import("./pages/Payments.tsx"),
  },
  { name: "refunds", group: "sales", permission: "payment:read", load: () => import("./pages/Refunds.tsx") },
  { name: "users", group: "people", permission: "user:read", load: () => import("./pages/Users.tsx") },
  {
    name: "decisions",
    group: "people",
    permission: "risk:read",
    load: () => import("./pages/Decisions.tsx"),
  },
  { name: "rules", group: "people", permission: "risk:read", load: () => import("./pages/Rules.tsx") },
  {
    name: "addresses",
    group: "people",
    permission: "risk:read",
    load: () => import("./pages/Addresses.tsx"),
  },
  { name: "limits", group: "people", permission: "risk:read", load: () => import("./pages/Limits.tsx") },
  {
    name: "experiments",
    group: "people",
    permission: "experiment:read",
    load: () => import("./pages/Experiments.tsx"),
  },
  {
    name: "dead-letters",
    group: "system",
    permission: "queue:read",
    load: () => import("./pages/DeadLetters.tsx"),
  },
  {
    name: "reconciliation",
    group: "system",
    permission: "report:read",
    load: () => import("./pages/Reconciliation.tsx"),
  },
  { name: "audit", group: "system", permission: "audit:read", load: () => import("./pages/Audit.tsx") },
  {
    name: "webhooks",
    group: "system",
    permission: "webhook:read",
    load: () => import("./pages/Webhooks.tsx"),
  },
  {
    name: "deliveries",
    group: "system",
    permission: "webhook:read",
    load: () => import("./pages/Deliveries.tsx"),
  },
  { name: "keys", group: "system", permission: "key:write", load: () => import("./pages/Keys.tsx") },
] as const satisfies ReadonlyArray<Entry>

export type PageEntry = (typeof pages)[number]
export type PageName = PageEntry["name"]

/** Whether any of the roles carries the permission. Names of roles that this build doesn't know carry nothing. */
export const permits = (roles: ReadonlyArray<string>, permission: Permission): boolean =>
  roles.some(
    (role) =>
      Object.hasOwn(permissionsOf, role) &&
      (permissionsOf[role as keyof typeof permissionsOf] as ReadonlyArray<string>).includes(permission),
  )

/** The pages of somebody with these roles, in the order of the menu. */
export const pagesOf = (roles: ReadonlyArray<string>): ReadonlyArray<PageEntry> =>
  pages.filter(({ permission }) => permits(roles, permission))

export const permissionFor = (name: PageName): Permission =>
  pages.find((page) => page.name === name)!.permission

export const addressOf = (name: PageName): string => `/console/${name}`
