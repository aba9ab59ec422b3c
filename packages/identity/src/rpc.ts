/** The gRPC face of identity: thin, from messages to the services and back. */
import { InvalidInput, NotFound, Unauthenticated } from "@floodgate/contracts/errors/Errors"
import { WalletEntryKind, WalletOutcome } from "@floodgate/contracts/gen/floodgate/identity/v1/identity_pb"
import { isRole, permits } from "@floodgate/contracts/Roles"
import { IdentityRpc } from "@floodgate/contracts/rpc/Services"
import * as AuditList from "@floodgate/runtime/audit/AuditList"
import * as GrpcServer from "@floodgate/runtime/grpc/GrpcServer"
import { orBusy } from "@floodgate/runtime/resilience/OrBusy"
import * as Effect from "effect/Effect"
import { AccessTokens } from "./AccessTokens.ts"
import { Accounts, type Session } from "./Accounts.ts"
import * as PageToken from "./domain/PageToken.ts"
import { type Decision, type Entry, type EntryKind, MAX_AMOUNT } from "./domain/Wallet.ts"
import { type User, UserStore } from "./store/UserStore.ts"
import { WalletStore } from "./store/WalletStore.ts"

const MAX_USERS = 500
const MAX_PAGE = 100
const DEFAULT_PAGE = 20
const MAX_REASON = 500

const kinds: Record<EntryKind, WalletEntryKind> = {
  topup: WalletEntryKind.TOPUP,
  payment: WalletEntryKind.PAYMENT,
  refund: WalletEntryKind.REFUND,
  adjust: WalletEntryKind.ADJUST,
}

const creditKinds: Partial<Record<WalletEntryKind, EntryKind>> = {
  [WalletEntryKind.TOPUP]: "topup",
  [WalletEntryKind.REFUND]: "refund",
  [WalletEntryKind.ADJUST]: "adjust",
}

const outcomes: Record<Decision["outcome"], WalletOutcome> = {
  debited: WalletOutcome.DEBITED,
  declined: WalletOutcome.DECLINED,
  void: WalletOutcome.VOID,
}

const userMessage = (user: User) => ({
  id: BigInt(user.id),
  username: user.username,
  roles: [...user.roles],
  balance: BigInt(user.balance),
  createdAtMs: BigInt(user.createdAtMs),
  updatedAtMs: BigInt(user.updatedAtMs),
})

const sessionMessage = (session: Session) => ({
  accessToken: session.accessToken,
  refreshToken: session.refreshToken,
  expiresIn: session.expiresInS,
  user: userMessage(session.user),
})

const decisionMessage = (decision: Decision) => ({
  paymentId: decision.paymentId,
  outcome: outcomes[decision.outcome],
  balanceAfter: BigInt(decision.balanceAfter),
  decidedAtMs: BigInt(decision.decidedAtMs),
})

const entryMessage = (entry: Entry) => ({
  id: BigInt(entry.id),
  kind: kinds[entry.kind],
  amount: BigInt(entry.amount),
  balanceAfter: BigInt(entry.balanceAfter),
  orderNum: entry.orderNum ?? "",
  createdAtMs: BigInt(entry.createdAtMs),
})

/** No account has an id beyond the safe integers. */
const userId = (id: bigint): Effect.Effect<number, NotFound> =>
  id > 0n && id <= BigInt(Number.MAX_SAFE_INTEGER) ? Effect.succeed(Number(id)) : Effect.fail(new NotFound())

const amountOf = (amount: bigint): Effect.Effect<number, InvalidInput> =>
  amount > 0n && amount <= BigInt(MAX_AMOUNT)
    ? Effect.succeed(Number(amount))
    : Effect.fail(InvalidInput.at("amount", "must be positive minor units"))

/** Keys of other services: printable ASCII, as long as their columns. */
const key = (path: string, text: string, maxLength: number): Effect.Effect<string, InvalidInput> =>
  /^[\x21-\x7e]+$/.test(text) && text.length <= maxLength
    ? Effect.succeed(text)
    : Effect.fail(InvalidInput.at(path, `must be 1 to ${maxLength} printable characters`))

const orderNumOf = (text: string): Effect.Effect<string, InvalidInput> =>
  text === "" ? Effect.succeed(text) : key("order_num", text, 40)

export const rpc = GrpcServer.service(IdentityRpc, {
  register: Effect.fnUntraced(function* ({ username, password }) {
    const accounts = yield* Accounts
    return userMessage(yield* orBusy(accounts.register({ username, password })))
  }),

  login: Effect.fnUntraced(function* ({ username, password }) {
    const accounts = yield* Accounts
    return sessionMessage(yield* orBusy(accounts.login({ username, password })))
  }),

  refresh: Effect.fnUntraced(function* ({ refreshToken }) {
    const accounts = yield* Accounts
    return sessionMessage(yield* orBusy(accounts.refresh(refreshToken)))
  }),

  logout: Effect.fnUntraced(function* ({ refreshToken }) {
    const accounts = yield* Accounts
    yield* orBusy(accounts.logout(refreshToken))
    return {}
  }),

  getUser: Effect.fnUntraced(function* (request) {
    const users = yield* UserStore
    return userMessage(yield* orBusy(users.get(yield* userId(request.userId))))
  }),

  batchGetUsers: Effect.fnUntraced(function* ({ userIds }) {
    if (userIds.length > MAX_USERS) return yield* InvalidInput.at("user_ids", `are more than ${MAX_USERS}`)
    const users = yield* UserStore
    const ids = userIds.filter((id) => id <= BigInt(Number.MAX_SAFE_INTEGER)).map(Number)
    const found = ids.length === 0 ? [] : yield* orBusy(users.getMany(ids))
    return { users: found.map(userMessage) }
  }),

  setRoles: Effect.fnUntraced(function* (request, { caller }) {
    // A person needs the permission here, too; a service that acts for itself has its credential.
    if (caller !== undefined && !permits(caller.roles, "user:roles")) return yield* new Unauthenticated()
    const id = yield* userId(request.userId)
    const unknown = request.roles.find((role) => !isRole(role))
    if (unknown !== undefined) return yield* InvalidInput.at("roles", "has an unknown role")
    const reason = request.reason.trim()
    if (reason === "" || reason.length > MAX_REASON) {
      return yield* InvalidInput.at("reason", `must have 1 to ${MAX_REASON} characters`)
    }
    const users = yield* UserStore
    return userMessage(
      yield* orBusy(
        users.setRoles({
          userId: id,
          roles: request.roles,
          reason,
          requestId: request.requestId === "" ? "" : yield* key("request_id", request.requestId, 64),
          actorId: caller?.user_id ?? 0,
        }),
      ),
    )
  }),

  getJwks: () => Effect.map(AccessTokens, ({ jwks }) => ({ jwksJson: jwks })),

  getWallet: Effect.fnUntraced(function* (request) {
    const wallets = yield* WalletStore
    const wallet = yield* orBusy(wallets.get(yield* userId(request.userId)))
    return { userId: request.userId, balance: BigInt(wallet.balance), currency: wallet.currency }
  }),

  listWalletEntries: Effect.fnUntraced(function* ({ pageSize, pageToken, ...request }) {
    const id = yield* userId(request.userId)
    if (pageSize > MAX_PAGE) return yield* InvalidInput.at("page_size", `is more than ${MAX_PAGE}`)
    const before = pageToken === "" ? undefined : PageToken.decode(pageToken)
    if (pageToken !== "" && before === undefined)
      return yield* InvalidInput.at("page_token", "is not one of ours")
    const limit = pageSize === 0 ? DEFAULT_PAGE : pageSize
    const wallets = yield* WalletStore
    // One more than asked for tells whether there is a next page.
    const found = yield* orBusy(wallets.entries(id, before, limit + 1))
    const page = found.slice(0, limit)
    return {
      entries: page.map(entryMessage),
      nextPageToken: found.length > limit ? PageToken.encode(page[page.length - 1]!.id) : "",
    }
  }),

  debitWallet: Effect.fnUntraced(function* (request) {
    const wallets = yield* WalletStore
    const debit = {
      paymentId: yield* key("payment_id", request.paymentId, 64),
      userId: yield* userId(request.userId),
      amount: yield* amountOf(request.amount),
      currency: request.currency,
      orderNum: yield* orderNumOf(request.orderNum),
    }
    return decisionMessage(yield* orBusy(wallets.debit(debit)))
  }),

  voidDebit: Effect.fnUntraced(function* (request) {
    const wallets = yield* WalletStore
    const paymentId = yield* key("payment_id", request.paymentId, 64)
    return decisionMessage(yield* orBusy(wallets.voidDebit(paymentId, yield* userId(request.userId))))
  }),

  creditWallet: Effect.fnUntraced(function* (request) {
    const wallets = yield* WalletStore
    const kind = creditKinds[request.kind]
    if (kind === undefined) return yield* InvalidInput.at("kind", "must be TOPUP, REFUND or ADJUST")
    const credit = {
      creditId: yield* key("credit_id", request.creditId, 64),
      userId: yield* userId(request.userId),
      amount: yield* amountOf(request.amount),
      currency: request.currency,
      kind,
      orderNum: yield* orderNumOf(request.orderNum),
    }
    return entryMessage(yield* orBusy(wallets.credit(credit)))
  }),

  listAudit: AuditList.handler,
})
