/** Roles and what they permit: one table, read by the edge and by the services. */
export const permissions = [
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
  "webhook:write",
] as const

export type Permission = (typeof permissions)[number]

export const roles = ["customer", "operator", "risk", "finance", "auditor", "admin"] as const

export type Role = (typeof roles)[number]

const reads = permissions.filter((p) => p.endsWith(":read"))

export const permissionsOf: Record<Role, ReadonlySet<Permission>> = {
  customer: new Set(),
  operator: new Set([
    "product:read",
    "product:write",
    "stock:read",
    "stock:write",
    "order:read",
    "order:write",
    "queue:read",
    "report:read",
  ]),
  risk: new Set([
    "risk:read",
    "risk:write",
    "experiment:read",
    "experiment:write",
    "user:read",
    "user:ban",
    "order:read",
    "report:read",
  ]),
  finance: new Set(["payment:read", "payment:write", "order:read", "report:read"]),
  auditor: new Set(reads),
  admin: new Set(permissions),
}

export const isRole = (text: string): text is Role => (roles as ReadonlyArray<string>).includes(text)

/** Whether any of the roles carries the permission. Unknown role names carry nothing. */
export const permits = (held: ReadonlyArray<string>, permission: Permission): boolean =>
  held.some((role) => isRole(role) && permissionsOf[role].has(permission))
