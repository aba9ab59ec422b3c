/**
 * Who may call what. One row a method: which services may call it for themselves, and which users may have it called
 * for them. Roles were checked by the edge before; they are checked again here, from the caller that it signed.
 */
import type { IdentityService } from "@floodgate/contracts/gen/floodgate/identity/v1/identity_pb"
import { type Permission, permits } from "@floodgate/contracts/Roles"

/** Those who hold the service credential: the services, and the command line. */
export type Service = "edge" | "identity" | "inventory" | "ordering" | "payment" | "stack"

export interface Rule {
  /** Services that may call it without a user. */
  readonly services: "any" | ReadonlyArray<Service>
  /**
   * Users for whom it may be called: themselves (`user_id` of the request), or holders of a permission. `service`: a
   * user gives no right here and takes none, the calling service decides. `nobody`: it is never called for a user.
   */
  readonly users: "service" | "nobody" | "self" | Permission | readonly ["self", Permission]
}

export type Method = keyof typeof IdentityService.method

export const access: Record<Method, Rule> = {
  register: { services: "any", users: "service" },
  login: { services: "any", users: "service" },
  refresh: { services: "any", users: "service" },
  logout: { services: "any", users: "service" },
  logoutAll: { services: [], users: "self" },
  changePassword: { services: [], users: "self" },
  getUser: { services: ["edge"], users: ["self", "user:read"] },
  batchGetUsers: { services: ["edge"], users: "user:read" },
  listUsers: { services: [], users: "user:read" },
  setRoles: { services: ["stack"], users: "user:roles" },
  grantFirstAdmin: { services: ["stack"], users: "nobody" },
  banUser: { services: [], users: "user:ban" },
  unbanUser: { services: [], users: "user:ban" },
  exportUser: { services: [], users: "self" },
  eraseUser: { services: [], users: "self" },
  getJwks: { services: "any", users: "service" },
  rotateKeys: { services: ["stack"], users: "key:write" },
  listRevocations: { services: ["edge"], users: "nobody" },
  watchRevocations: { services: ["edge"], users: "nobody" },
  getWallet: { services: [], users: "self" },
  listWalletEntries: { services: [], users: "self" },
  debitWallet: { services: ["payment"], users: "service" },
  voidDebit: { services: ["payment"], users: "service" },
  creditWallet: { services: ["payment", "stack"], users: "service" },
  getWalletLedger: { services: ["ordering"], users: "nobody" },
  listWalletDecisions: { services: ["ordering"], users: "nobody" },
  listAudit: { services: [], users: "audit:read" },
  getVitals: { services: ["edge"], users: "report:read" },
}

export interface Caller {
  readonly user_id: number
  readonly roles: ReadonlyArray<string>
}

/** A call, as far as access goes. */
export interface Call {
  /** The calling service. */
  readonly peer: string
  readonly caller: Caller | undefined
  /** Whom the request is about. */
  readonly userId: bigint | undefined
}

export type Verdict =
  | { readonly allowed: true }
  /** `permission` is the one that would have helped. */
  | { readonly allowed: false; readonly permission: Permission | undefined }

const allowed: Verdict = { allowed: true }

/** Whether a method may be called like this. */
export const decide = (method: Method, { peer, caller, userId }: Call): Verdict => {
  const { services, users } = access[method]
  if (caller === undefined || users === "service") {
    return services === "any" || (services as ReadonlyArray<string>).includes(peer)
      ? allowed
      : { allowed: false, permission: undefined }
  }
  if (users === "nobody") return { allowed: false, permission: undefined }
  const wanted = typeof users === "string" ? [users] : users
  let permission: Permission | undefined
  for (const each of wanted) {
    if (each === "self") {
      if (userId === BigInt(caller.user_id)) return allowed
    } else {
      if (permits(caller.roles, each)) return allowed
      permission = each
    }
  }
  return { allowed: false, permission }
}

/**
 * Whether a permitted caller may ban, unban or change the roles of this account. Nobody may do it to themselves, so
 * that nobody promotes themselves and the last administrator doesn't lock the door from outside; and an
 * administrator's account is for administrators only. A service (no caller) may.
 */
export const mayChange = (
  caller: Caller | undefined,
  target: { readonly id: number; readonly roles: ReadonlyArray<string> },
): boolean =>
  caller === undefined ||
  (caller.user_id !== target.id && (!target.roles.includes("admin") || permits(caller.roles, "user:roles")))
