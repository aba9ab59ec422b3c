/** An account as the console shows it, made from identity's message. */
import {
  AccountState,
  type User as Message,
} from "@floodgate/contracts/gen/floodgate/identity/v1/identity_pb"
import type { AdminUser } from "@floodgate/contracts/http/AdminUser"
import { format } from "@floodgate/contracts/http/Instant"

const states: Record<AccountState, AdminUser["state"]> = {
  [AccountState.UNSPECIFIED]: "active",
  [AccountState.ACTIVE]: "active",
  [AccountState.BANNED]: "banned",
  [AccountState.ERASED]: "erased",
}

const textOrNull = (text: string): string | null => (text === "" ? null : text)

export const of = (message: Message): AdminUser => {
  const state = states[message.state] ?? "active"
  return {
    id: Number(message.id),
    username: textOrNull(message.username),
    roles: message.roles,
    state,
    banned: state === "banned",
    banned_reason: textOrNull(message.bannedReason),
    ban_until: message.banUntilMs === undefined ? null : format(Number(message.banUntilMs)),
    balance: Number(message.balance),
    version: Number(message.version),
    created_at: format(Number(message.createdAtMs)),
    updated_at: format(Number(message.updatedAtMs)),
  }
}

/** The columns of an export, in order. */
export const columns: ReadonlyArray<keyof AdminUser> = [
  "id",
  "username",
  "roles",
  "state",
  "banned_reason",
  "ban_until",
  "balance",
  "version",
  "created_at",
  "updated_at",
]
