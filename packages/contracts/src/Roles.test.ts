import { assert, describe, it } from "@effect/vitest"
import { permissions, permits, roles } from "./Roles.ts"

describe("roles", () => {
  it("an admin may everything, a customer nothing", () => {
    for (const permission of permissions) {
      assert.isTrue(permits(["admin"], permission))
      assert.isFalse(permits(["customer"], permission))
    }
  })

  it("an auditor reads everything and writes nothing", () => {
    for (const permission of permissions)
      assert.strictEqual(permits(["auditor"], permission), permission.endsWith(":read"))
  })

  it("only an admin gives roles, rotates keys, pauses sales", () => {
    for (const permission of [
      "user:roles",
      "key:write",
      "queue:write",
      "sale:write",
      "webhook:write",
    ] as const)
      for (const role of roles)
        assert.strictEqual(permits([role], permission), role === "admin", `${role} ${permission}`)
  })

  it("an unknown role carries nothing", () => {
    assert.isFalse(permits(["root", "__proto__", "constructor"], "product:read"))
  })
})
