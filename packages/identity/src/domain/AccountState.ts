/** The states of an account, and every change between them. */

/** `erased`: nothing but the id is left. */
export type AccountState = "active" | "banned" | "erased"

/** A banned account can be banned again: that changes the reason and the end of its ban. */
export type AccountAction = "ban" | "unban" | "erase"

const transitions: Record<AccountState, Partial<Record<AccountAction, AccountState>>> = {
  active: { ban: "banned", erase: "erased" },
  // A banned account isn't erased: what it did could no longer be looked into. First the ban is lifted.
  banned: { ban: "banned", unban: "active" },
  erased: {},
}

/** The state that an action leads to; undefined where the state doesn't allow it. */
export const after = (state: AccountState, action: AccountAction): AccountState | undefined =>
  transitions[state][action]

/** Whether an account in this state may sign in, refresh its session and use its tokens. */
export const maySignIn = (state: AccountState): boolean => state === "active"
