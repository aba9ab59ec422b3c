// Generated from the contract by packages/client/bin/generate.mjs; don't edit.

/** What each role permits; an account may have several. The edge and the services decide by the same table. */
export const permissionsOf = {
  "customer": [],
  "operator": [
    "product:read",
    "product:write",
    "stock:read",
    "stock:write",
    "order:read",
    "order:write",
    "queue:read",
    "report:read"
  ],
  "risk": [
    "risk:read",
    "risk:write",
    "experiment:read",
    "experiment:write",
    "user:read",
    "user:ban",
    "order:read",
    "report:read"
  ],
  "finance": [
    "payment:read",
    "payment:write",
    "order:read",
    "report:read"
  ],
  "auditor": [
    "product:read",
    "stock:read",
    "order:read",
    "payment:read",
    "user:read",
    "risk:read",
    "experiment:read",
    "queue:read",
    "audit:read",
    "report:read",
    "key:read",
    "sale:read",
    "webhook:read"
  ],
  "admin": [
    "product:read",
    "product:write",
    "stock:read",
    "stock:write",
    "order:read",
    "order:write",
    "payment:read",
    "payment:write",
    "user:read",
    "user:ban",
    "user:roles",
    "risk:read",
    "risk:write",
    "experiment:read",
    "experiment:write",
    "queue:read",
    "queue:write",
    "audit:read",
    "report:read",
    "key:read",
    "key:write",
    "sale:read",
    "sale:write",
    "webhook:read",
    "webhook:write"
  ]
} as const

export type Role = keyof typeof permissionsOf

/** Every permission there is: an administrator has them all. */
export type Permission = (typeof permissionsOf)["admin"][number]
