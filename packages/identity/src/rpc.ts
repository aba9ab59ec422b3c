/** The gRPC face of identity: thin, from messages to the services and back. */
import { InvalidInput, NotFound } from "@floodgate/contracts/errors/Errors"
import {
  AccountState as AccountStateMessage,
  WalletEntryKind,
  WalletOutcome,
} from "@floodgate/contracts/gen/floodgate/identity/v1/identity_pb"
import { isRole } from "@floodgate/contracts/Roles"
import type { Caller } from "@floodgate/contracts/rpc/ServiceCredential"
import { IdentityRpc } from "@floodgate/contracts/rpc/Services"
import * as AuditList from "@floodgate/runtime/audit/AuditList"
import * as GrpcServer from "@floodgate/runtime/grpc/GrpcServer"
import * as CrashPoint from "@floodgate/runtime/lifecycle/CrashPoint"
import * as Vitals from "@floodgate/runtime/metrics/Vitals"
import { orBusy } from "@floodgate/runtime/resilience/OrBusy"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { Accounts, type Session } from "./Accounts.ts"
import type { AccountState } from "./domain/AccountState.ts"
import * as PageToken from "./domain/PageToken.ts"
import { isUsername } from "./domain/Username.ts"
import { type Decision, type Entry, type EntryKind, MAX_AMOUNT } from "./domain/Wallet.ts"
import { Export } from "./Export.ts"
import { guarded } from "./Guard.ts"
import { KeyRing } from "./KeyRing.ts"
import { RevocationFeed } from "./RevocationFeed.ts"
import { type Revocation, RevocationStore } from "./store/RevocationStore.ts"
import { type Edit, type User, UserStore } from "./store/UserStore.ts"
import { WalletLedger } from "./store/WalletLedger.ts"
import { WalletStore } from "./store/WalletStore.ts"

const MAX_USERS = 500
const MAX_PAGE = 100
const DEFAULT_PAGE = 20
const MAX_REASON = 500
const MAX_QUERY = 32
/** The end of the year 2099. */
const MAX_TIME_MS = Date.UTC(2100, 0, 1) - 1

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

const states: Record<AccountState, AccountStateMessage> = {
  active: AccountStateMessage.ACTIVE,
  banned: AccountStateMessage.BANNED,
  erased: AccountStateMessage.ERASED,
}

const userMessage = (user: User) => ({
  id: BigInt(user.id),
  username: user.username,
  roles: [...user.roles],
  balance: BigInt(user.balance),
  createdAtMs: BigInt(user.createdAtMs),
  updatedAtMs: BigInt(user.updatedAtMs),
  state: states[user.state],
  bannedReason: user.bannedReason ?? "",
  ...(user.banUntilMs === undefined ? {} : { banUntilMs: BigInt(user.banUntilMs) }),
  version: BigInt(user.version),
})

const revocationMessage = (entry: Revocation) => ({
  userId: BigInt(entry.userId),
  notBeforeMs: BigInt(entry.notBeforeMs),
  reason: entry.reason,
  banned: entry.banned,
  ...(entry.banUntilMs === undefined ? {} : { banUntilMs: BigInt(entry.banUntilMs) }),
  revision: BigInt(entry.revision),
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

const requestIdOf = (text: string): Effect.Effect<string, InvalidInput> =>
  text === "" ? Effect.succeed(text) : key("request_id", text, 64)

const reasonOf = (text: string): Effect.Effect<string, InvalidInput> => {
  const reason = text.trim()
  return reason !== "" && reason.length <= MAX_REASON
    ? Effect.succeed(reason)
    : Effect.fail(InvalidInput.at("reason", `must have 1 to ${MAX_REASON} characters`))
}

/** Unix ms of a request; undefined for 0, which stands for none. */
const timeOf = (path: string, ms: bigint): Effect.Effect<number | undefined, InvalidInput> =>
  ms >= 0n && ms <= BigInt(MAX_TIME_MS)
    ? Effect.succeed(ms === 0n ? undefined : Number(ms))
    : Effect.fail(InvalidInput.at(path, "must be Unix milliseconds"))

/** What every edit of an account has in common. */
const editOf = (
  request: {
    readonly userId: bigint
    readonly reason: string
    readonly requestId: string
    readonly version: bigint
  },
  caller: Caller | undefined,
): Effect.Effect<Edit, InvalidInput | NotFound> =>
  Effect.all({
    userId: userId(request.userId),
    reason: reasonOf(request.reason),
    requestId: requestIdOf(request.requestId),
    // A version beyond the safe integers is no account's, so it is stale, whatever it is rounded to.
    version: Effect.succeed(Number(request.version)),
    caller: Effect.succeed(caller),
  })

const pageSize = (size: number): Effect.Effect<number, InvalidInput> =>
  size > MAX_PAGE
    ? Effect.fail(InvalidInput.at("page_size", `is more than ${MAX_PAGE}`))
    : Effect.succeed(size === 0 ? DEFAULT_PAGE : size)

/** The id before which a page begins; undefined for the first page. */
const pageStart = (token: string): Effect.Effect<number | undefined, InvalidInput> => {
  const before = token === "" ? undefined : PageToken.decode(token)
  return token !== "" && before === undefined
    ? Effect.fail(InvalidInput.at("page_token", "is not one of ours"))
    : Effect.succeed(before)
}

/** Rows of one page of a ledger, and names in one question. */
const MAX_LEDGER = 500

const ledgerSize = (names: string, count: number, size: number): Effect.Effect<number, InvalidInput> => {
  if (count > MAX_LEDGER) return Effect.fail(InvalidInput.at(names, `are more than ${MAX_LEDGER}`))
  if (size > MAX_LEDGER) return Effect.fail(InvalidInput.at("page_size", `is more than ${MAX_LEDGER}`))
  return Effect.succeed(size === 0 ? MAX_LEDGER : size)
}

/** Payment ids aren't numbers, so their pages have tokens of their own. */
const paymentToken = (paymentId: string): string => Buffer.from(`p1.${paymentId}`).toString("base64url")

const paymentStart = (token: string): Effect.Effect<string, InvalidInput> => {
  if (token === "") return Effect.succeed("")
  const text = Buffer.from(token, "base64url").toString("latin1")
  const paymentId = text.startsWith("p1.") ? text.slice(3) : ""
  return /^[\x21-\x7e]{1,64}$/.test(paymentId) && paymentToken(paymentId) === token
    ? Effect.succeed(paymentId)
    : Effect.fail(InvalidInput.at("page_token", "is not one of ours"))
}

const handlers = guarded({
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
    const edit = yield* editOf(request, caller)
    const unknown = request.roles.find((role) => !isRole(role))
    if (unknown !== undefined) return yield* InvalidInput.at("roles", "has an unknown role")
    const users = yield* UserStore
    return userMessage(yield* orBusy(users.setRoles({ ...edit, roles: request.roles })))
  }),

  grantFirstAdmin: Effect.fnUntraced(function* ({ username }) {
    // No name has other letters, and the column can't be asked for them.
    if (!isUsername(username)) return yield* new NotFound()
    const users = yield* UserStore
    return userMessage(yield* orBusy(users.grantFirstAdmin(username)))
  }),

  logoutAll: Effect.fnUntraced(function* (request) {
    const accounts = yield* Accounts
    yield* orBusy(accounts.logoutAll(yield* userId(request.userId)))
    return {}
  }),

  changePassword: Effect.fnUntraced(function* ({ userId: id, oldPassword, newPassword }) {
    const accounts = yield* Accounts
    yield* orBusy(accounts.changePassword({ userId: yield* userId(id), oldPassword, newPassword }))
    return {}
  }),

  listUsers: Effect.fnUntraced(function* (request) {
    const limit = yield* pageSize(request.pageSize)
    const before = yield* pageStart(request.pageToken)
    const q = request.q.trim()
    if (q.length > MAX_QUERY) return yield* InvalidInput.at("q", `has more than ${MAX_QUERY} characters`)
    const users = yield* UserStore
    // No name has other letters, and the column can't be asked for them.
    const found = /^\w*$/.test(q)
      ? yield* orBusy(
          users.list({
            q,
            banned: request.banned,
            fromMs: yield* timeOf("from_ms", request.fromMs),
            toMs: yield* timeOf("to_ms", request.toMs),
            before,
            limit: limit + 1,
          }),
        )
      : []
    const page = found.slice(0, limit)
    return {
      users: page.map(userMessage),
      nextPageToken: found.length > limit ? PageToken.encode(page[page.length - 1]!.id) : "",
    }
  }),

  banUser: Effect.fnUntraced(function* (request, { caller }) {
    const edit = yield* editOf(request, caller)
    const untilMs = (yield* timeOf("until_ms", request.untilMs)) ?? 0
    const users = yield* UserStore
    return userMessage(yield* orBusy(users.ban({ ...edit, untilMs })))
  }),

  unbanUser: Effect.fnUntraced(function* (request, { caller }) {
    const users = yield* UserStore
    return userMessage(yield* orBusy(users.unban(yield* editOf(request, caller))))
  }),

  exportUser: Effect.fnUntraced(function* (request) {
    const { document } = yield* Export
    return { documentJson: yield* orBusy(document(yield* userId(request.userId))) }
  }),

  eraseUser: Effect.fnUntraced(function* ({ userId: id, password }) {
    const accounts = yield* Accounts
    yield* orBusy(accounts.erase({ userId: yield* userId(id), password }))
    return {}
  }),

  getJwks: Effect.fnUntraced(function* () {
    const { jwks } = yield* KeyRing
    return { jwksJson: yield* orBusy(jwks) }
  }),

  rotateKeys: Effect.fnUntraced(function* (request, { caller }) {
    const { rotate } = yield* KeyRing
    const stored = yield* orBusy(
      rotate({
        actorId: caller?.user_id ?? 0,
        reason: yield* reasonOf(request.reason),
        requestId: yield* requestIdOf(request.requestId),
      }),
    )
    return {
      kid: stored.kid,
      createdAtMs: BigInt(stored.createdAtMs),
      signsFromMs: BigInt(stored.signsFromMs),
    }
  }),

  listRevocations: Effect.fnUntraced(function* ({ sinceRevision }) {
    const revocations = yield* RevocationStore
    const page = yield* orBusy(revocations.since(Number(sinceRevision)))
    return {
      revision: BigInt(page.revision),
      entries: page.entries.map(revocationMessage),
      more: page.more,
    }
  }),

  watchRevocations: () =>
    Stream.unwrap(
      Effect.map(RevocationFeed, ({ revisions }) =>
        revisions.pipe(
          Stream.map((revision) => ({ revision: BigInt(revision) })),
          Stream.catchAll((error) => Stream.fromEffect(orBusy(Effect.fail(error)))),
        ),
      ),
    ),

  getWallet: Effect.fnUntraced(function* (request) {
    const wallets = yield* WalletStore
    const wallet = yield* orBusy(wallets.get(yield* userId(request.userId)))
    return { userId: request.userId, balance: BigInt(wallet.balance), currency: wallet.currency }
  }),

  listWalletEntries: Effect.fnUntraced(function* (request) {
    const id = yield* userId(request.userId)
    const limit = yield* pageSize(request.pageSize)
    const before = yield* pageStart(request.pageToken)
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
    const decision = yield* orBusy(wallets.debit(debit))
    if (globalThis.__FLOODGATE_FAULTS__) yield* CrashPoint.hit("wallet.debited")
    return decisionMessage(decision)
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

  getWalletLedger: Effect.fnUntraced(function* (request) {
    const limit = yield* ledgerSize("user_ids", request.userIds.length, request.pageSize)
    const after = (yield* pageStart(request.pageToken)) ?? 0
    const ledger = yield* WalletLedger
    const named = request.userIds.length > 0
    const found = yield* orBusy(
      ledger.books(
        named
          ? { _tag: "named", keys: request.userIds.map(Number) }
          : { _tag: "page", after, limit: limit + 1 },
      ),
    )
    const page = named ? found : found.slice(0, limit)
    return {
      wallets: page.map((books) => ({
        userId: BigInt(books.userId),
        balance: BigInt(books.balance),
        entriesTotal: BigInt(books.entriesTotal),
      })),
      nextPageToken: !named && found.length > limit ? PageToken.encode(page[page.length - 1]!.userId) : "",
    }
  }),

  listWalletDecisions: Effect.fnUntraced(function* (request) {
    const limit = yield* ledgerSize("payment_ids", request.paymentIds.length, request.pageSize)
    const after = yield* paymentStart(request.pageToken)
    const ledger = yield* WalletLedger
    const named = request.paymentIds.length > 0
    const found = yield* orBusy(
      ledger.decisions(
        named ? { _tag: "named", keys: request.paymentIds } : { _tag: "page", after, limit: limit + 1 },
      ),
    )
    const page = named ? found : found.slice(0, limit)
    return {
      decisions: page.map((decision) => ({
        paymentId: decision.paymentId,
        userId: BigInt(decision.userId),
        outcome: outcomes[decision.outcome],
        amount: BigInt(decision.amount),
        orderNum: decision.orderNum,
        ageMs: BigInt(decision.ageMs),
      })),
      nextPageToken: !named && found.length > limit ? paymentToken(page[page.length - 1]!.paymentId) : "",
    }
  }),

  listAudit: AuditList.handler,

  getVitals: Vitals.handler,
})

export const rpc = GrpcServer.service(IdentityRpc, handlers)
