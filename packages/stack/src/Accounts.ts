/** Who may sign in to a development stack. The password of each is `floodgate-<name>`. */
import type { Role } from "@floodgate/contracts/Roles"

export interface DemoAccount {
  readonly username: string
  /** Beside `customer`, which everyone has. */
  readonly roles: ReadonlyArray<Role>
  /** Put into the wallet once, minor units. */
  readonly wallet: number
}

export const demoAccounts: ReadonlyArray<DemoAccount> = [
  { username: "admin", roles: ["admin"], wallet: 0 },
  { username: "operator", roles: ["operator"], wallet: 0 },
  { username: "risk", roles: ["risk"], wallet: 0 },
  { username: "finance", roles: ["finance"], wallet: 0 },
  { username: "auditor", roles: ["auditor"], wallet: 0 },
  { username: "alice", roles: [], wallet: 1_000_000 },
  { username: "bob", roles: [], wallet: 1_000_000 },
]

/** Known to everyone, hence for development only. */
export const demoPassword = (username: string): string => `floodgate-${username}`
