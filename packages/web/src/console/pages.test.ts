import { permissionsOf } from "@floodgate/client/gen/Roles"
import { describe, expect, it } from "vitest"
import { addressOf, groups, pages, pagesOf, permits } from "./pages.ts"
import { en } from "./texts/en.ts"
import { zh } from "./texts/zh.ts"

const menuOf = (...roles: ReadonlyArray<string>) => pagesOf(roles).map(({ name }) => name)

describe("the table of pages", () => {
  it("gives each role the pages of its permissions", () => {
    expect(menuOf("customer")).toEqual([])
    expect(menuOf("finance")).toEqual(["overview", "orders", "payments", "refunds", "reconciliation"])
    expect(menuOf("operator")).toEqual([
      "overview",
      "sale-day",
      "products",
      "stock-log",
      "orders",
      "dead-letters",
      "reconciliation",
    ])
    expect(menuOf("customer", "risk")).toContain("rules")
    expect(menuOf("risk")).not.toContain("payments")
    expect(menuOf("auditor")).toEqual(menuOf("admin").filter((name) => name !== "keys"))
    expect(menuOf("admin")).toEqual(pages.map(({ name }) => name))
  })

  it("adds up what several roles permit", () => {
    expect(menuOf("finance", "risk")).toEqual(
      pages
        .map(({ name }) => name)
        .filter((name) => menuOf("finance").includes(name) || menuOf("risk").includes(name)),
    )
  })

  it("gives nothing for a role that it doesn't know, whatever its name", () => {
    expect(menuOf("root", "toString", "__proto__", "constructor")).toEqual([])
    expect(permits(["hasOwnProperty"], "user:read")).toBe(false)
  })

  it("asks for permissions that exist, and has words for each page in both languages", () => {
    for (const { group, name, permission } of pages) {
      expect(permissionsOf.admin).toContain(permission)
      expect(groups).toContain(group)
      expect(en.page[name].title).not.toBe("")
      expect(zh.page[name].title).not.toBe("")
    }
    expect(new Set(pages.map(({ name }) => addressOf(name))).size).toBe(pages.length)
  })
})
