/** Accounts, their credentials, roles and states in MySQL. */
import {
  Forbidden,
  InvalidInput,
  NotFound,
  StaleVersion,
  UsernameTaken,
  WrongState,
} from "@floodgate/contracts/errors/Errors"
import * as Audit from "@floodgate/runtime/audit/Audit"
import { affected, Mysql, retryConflicts } from "@floodgate/runtime/mysql/Mysql"
import type { MysqlError } from "@floodgate/runtime/mysql/MysqlError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { type Caller, mayChange } from "../domain/Access.ts"
import { after } from "../domain/AccountState.ts"
import { revoke } from "./RevocationStore.ts"
import { endSessions, forgetSessions } from "./SessionStore.ts"
import { COLUMNS, find, lock, STATE, toUser, type User, type UserRow } from "./UserRows.ts"

export type { User } from "./UserRows.ts"

/** A change that one person makes to another's account. */
export interface Edit {
  readonly userId: number
  readonly reason: string
  /** Makes one change, however often it is asked for; none where it is empty. */
  readonly requestId: string
  /** The account's version as the editor saw it; 0: whatever it is. */
  readonly version: number
  /** Who makes it; undefined for a service. */
  readonly caller: Caller | undefined
}

/**
 * NotFound; Forbidden for an account that is not the caller's to change; StaleVersion where it has changed since;
 * WrongState where its state doesn't allow it.
 */
export type EditError = NotFound | Forbidden | StaleVersion | WrongState | MysqlError

export interface UserFilter {
  /** The start of a name in whatever letter case, or an id; empty: all. */
  readonly q: string
  readonly banned: boolean | undefined
  /** Registered at or after, and before; Unix ms. */
  readonly fromMs: number | undefined
  readonly toMs: number | undefined
  /** Only older ones than this id. */
  readonly before: number | undefined
  readonly limit: number
}

/** A hash that was verified: the change is made only while it is still the account's. */
export interface Verified {
  readonly userId: number
  readonly passwordHash: string
}

export class UserStore extends Context.Tag("@floodgate/identity/store/UserStore")<
  UserStore,
  {
    /** An account with the role `customer` and an empty wallet. UsernameTaken in whatever letter case. */
    readonly create: (account: {
      readonly username: string
      readonly passwordHash: string
    }) => Effect.Effect<User, UsernameTaken | MysqlError>
    readonly isTaken: (username: string) => Effect.Effect<boolean, MysqlError>
    /** The account of this name, or with this id, with its password's hash. */
    readonly credentialOf: (
      account: string | number,
    ) => Effect.Effect<{ readonly user: User; readonly passwordHash: string } | undefined, MysqlError>
    readonly get: (id: number) => Effect.Effect<User, NotFound | MysqlError>
    /** Those that exist, by id. */
    readonly getMany: (ids: ReadonlyArray<number>) => Effect.Effect<ReadonlyArray<User>, MysqlError>
    /** Newest first, without erased ones. */
    readonly list: (filter: UserFilter) => Effect.Effect<ReadonlyArray<User>, MysqlError>
    /** Makes these the account's roles, and revokes the access tokens that say otherwise. */
    readonly setRoles: (
      edit: Edit & { readonly roles: ReadonlyArray<string> },
    ) => Effect.Effect<User, EditError>
    /**
     * Adds the role `admin` to the account of this name, as long as no account has it: how a new installation comes to
     * its first administrator. Recorded as any change of roles; nothing is changed where the account has the role
     * already. WrongState: "administered" where another has it, "banned" where the account is.
     */
    readonly grantFirstAdmin: (username: string) => Effect.Effect<User, NotFound | WrongState | MysqlError>
    /** Ends every session and refuses new ones, until `untilMs` (Unix ms; 0: until it is lifted). */
    readonly ban: (edit: Edit & { readonly untilMs: number }) => Effect.Effect<User, EditError | InvalidInput>
    readonly unban: (edit: Edit) => Effect.Effect<User, EditError>
    /** Stores another hash, and ends every session. False where the hash isn't the verified one any more. */
    readonly changePassword: (verified: Verified, newHash: string) => Effect.Effect<boolean, MysqlError>
    /**
     * Removes name, credential, sessions and roles; the id, the wallet's ledger and the audit trail stay. False as for
     * `changePassword`. WrongState: "banned", or "balance" where the wallet holds money.
     */
    readonly erase: (verified: Verified) => Effect.Effect<boolean, WrongState | MysqlError>
  }
>() {
  static readonly layer: Layer.Layer<UserStore, never, Mysql> = Layer.effect(
    UserStore,
    Effect.suspend(() => make),
  )
}

/** The start of a name as LIKE takes it. `_` is a letter of names. */
const likeStart = (text: string): string => `${text.replace(/[\\%_]/g, "\\$&")}%`

const make = Effect.gen(function* () {
  const mysql = yield* Mysql
  const { sql } = mysql
  const columns = sql.literal(COLUMNS)
  const state = sql.literal(STATE)

  /** Unix ms as the columns have it; FROM_UNIXTIME ends in 2038. */
  const at = (ms: number) => sql`TIMESTAMP('1970-01-01 00:00:00') + INTERVAL ${ms * 1000} MICROSECOND`

  /** One edit: locked, checked, made, revoked and recorded in one transaction. */
  const edit = <E>(
    action: "user.roles" | "user.ban" | "user.unban",
    { userId, requestId, version, caller, reason }: Edit,
    change: (before: User) => Effect.Effect<
      | {
          readonly revocation: "roles" | "ban" | "unban"
          readonly before: unknown
          readonly after: unknown
        }
      | undefined,
      E
    >,
  ) =>
    mysql
      .transaction(
        `UserStore.${action}`,
        Effect.gen(function* () {
          const { user: before } = yield* lock(sql, userId, "change")
          if (!mayChange(caller, before)) return yield* new Forbidden({})
          if (yield* Audit.isRecorded(action, requestId)) return before
          if (version !== 0 && version !== before.version) {
            return yield* new StaleVersion({ version: before.version })
          }
          const changed = yield* change(before)
          if (changed === undefined) return before
          yield* sql`UPDATE user SET version = version + 1, updated_at = UTC_TIMESTAMP(3) WHERE id = ${userId}`
          yield* Audit.append([
            {
              actorId: caller?.user_id ?? Audit.SYSTEM,
              action,
              targetType: "user",
              targetId: userId,
              before: changed.before,
              after: changed.after,
              reason,
              requestId,
            },
          ])
          yield* revoke(sql, userId, changed.revocation)
          return yield* find(sql, userId)
        }).pipe(Effect.provideService(Mysql, mysql)),
      )
      .pipe(retryConflicts)

  const wrongState = (user: User): WrongState => new WrongState({ state: user.state })

  /** Makes these the roles of a locked account. */
  const toRoles = Effect.fnUntraced(function* (before: User, roles: ReadonlyArray<string>) {
    if (before.state === "erased") return yield* wrongState(before)
    const wanted = [...new Set(roles)].sort()
    if (wanted.join() === before.roles.join()) return undefined
    yield* sql`DELETE FROM role_binding WHERE user_id = ${before.id}`
    yield* sql`INSERT INTO role_binding (user_id, role)
      SELECT ${before.id}, role FROM JSON_TABLE(${JSON.stringify(wanted)}, '$[*]'
        COLUMNS (role VARCHAR(16) PATH '$')) wanted`
    return { revocation: "roles" as const, before: { roles: before.roles }, after: { roles: wanted } }
  })

  /** Whether the account's hash is still the verified one; its row stays locked. */
  const isStill = ({ userId, passwordHash }: Verified) =>
    Effect.map(
      sql`SELECT 1 FROM credential WHERE user_id = ${userId} AND password_hash = ${passwordHash} FOR UPDATE`,
      (rows) => rows.length > 0,
    )

  const bySelf = (action: string, userId: number) =>
    Audit.append([{ actorId: userId, action, targetType: "user", targetId: userId }])

  return UserStore.of({
    create: Effect.fn("UserStore.create")(({ username, passwordHash }) =>
      mysql
        .transaction(
          "UserStore.create",
          Effect.gen(function* () {
            const { insertId } = yield* affected(sql`INSERT INTO user (username) VALUES (${username})`)
            yield* sql`INSERT INTO credential (user_id, password_hash) VALUES (${insertId}, ${passwordHash})`
            yield* sql`INSERT INTO role_binding (user_id, role) VALUES (${insertId}, 'customer')`
            yield* sql`INSERT INTO wallet (user_id) VALUES (${insertId})`
            yield* Audit.append([
              {
                actorId: insertId,
                action: "user.register",
                targetType: "user",
                targetId: insertId,
                after: { roles: ["customer"] },
              },
            ])
            return yield* Effect.orDie(Effect.catchTag(find(sql, insertId), "SqlError", Effect.fail))
          }).pipe(Effect.provideService(Mysql, mysql)),
        )
        .pipe(
          retryConflicts,
          Effect.catchTag("MysqlDuplicateKey", (error) =>
            error.key === "user_name" ? new UsernameTaken() : Effect.die(error),
          ),
        ),
    ),

    isTaken: Effect.fn("UserStore.isTaken")((username) =>
      Effect.map(
        mysql.run("UserStore.isTaken", sql`SELECT 1 FROM user WHERE username = ${username}`),
        (rows) => rows.length > 0,
      ),
    ),

    credentialOf: Effect.fn("UserStore.credentialOf")((account) =>
      Effect.map(
        mysql.run(
          "UserStore.credentialOf",
          sql<UserRow & { readonly password_hash: string }>`
            SELECT c.password_hash, ${columns} JOIN credential c ON c.user_id = u.id
            WHERE ${typeof account === "string" ? sql`u.username = ${account}` : sql`u.id = ${account}`}`,
        ),
        ([row]) => (row === undefined ? undefined : { user: toUser(row), passwordHash: row.password_hash }),
      ),
    ),

    get: Effect.fn("UserStore.get")((id) => mysql.run("UserStore.get", find(sql, id))),

    getMany: Effect.fn("UserStore.getMany")((ids) =>
      Effect.map(
        mysql.run(
          "UserStore.getMany",
          sql<UserRow>`
            SELECT ${columns}
            JOIN (SELECT DISTINCT id FROM JSON_TABLE(${JSON.stringify(ids)}, '$[*]'
              COLUMNS (id BIGINT UNSIGNED PATH '$')) wanted) j ON j.id = u.id
            ORDER BY u.id`,
        ),
        (rows) => rows.map(toUser),
      ),
    ),

    list: Effect.fn("UserStore.list")(({ q, banned, fromMs, toMs, before, limit }) => {
      const conditions = [
        sql`u.state <> 'erased'`,
        ...(q === ""
          ? []
          : /^[1-9]\d{0,15}$/.test(q)
            ? [sql`(u.username LIKE ${likeStart(q)} OR u.id = ${Number(q)})`]
            : [sql`u.username LIKE ${likeStart(q)}`]),
        ...(banned === undefined ? [] : [banned ? sql`${state} = 'banned'` : sql`${state} <> 'banned'`]),
        // Fewer are banned than not; what is banned is found by its own index.
        ...(banned === true ? [sql`u.state = 'banned'`] : []),
        ...(fromMs === undefined ? [] : [sql`u.created_at >= ${at(fromMs)}`]),
        ...(toMs === undefined ? [] : [sql`u.created_at < ${at(toMs)}`]),
        ...(before === undefined ? [] : [sql`u.id < ${before}`]),
      ]
      return Effect.map(
        mysql.run(
          "UserStore.list",
          sql<UserRow>`SELECT ${columns} WHERE ${sql.and(conditions)} ORDER BY u.id DESC LIMIT ${limit}`,
        ),
        (rows) => rows.map(toUser),
      )
    }),

    setRoles: Effect.fn("UserStore.setRoles")((asked) =>
      edit("user.roles", asked, (before) => toRoles(before, asked.roles)),
    ),

    grantFirstAdmin: Effect.fn("UserStore.grantFirstAdmin")(function* (username) {
      const [named] = yield* mysql.run(
        "UserStore.grantFirstAdmin.find",
        sql<{ readonly id: number }>`SELECT id FROM user WHERE username = ${username}`,
      )
      if (named === undefined) return yield* new NotFound()
      const asked: Edit = {
        userId: named.id,
        reason: "the first administrator",
        requestId: "",
        version: 0,
        caller: undefined,
      }
      return yield* edit("user.roles", asked, (before) =>
        Effect.gen(function* () {
          // Two that are asked for at once come one after the other here: the oldest account is everybody's lock.
          yield* sql`SELECT id FROM user ORDER BY id LIMIT 1 FOR UPDATE`
          if (before.roles.includes("admin")) return undefined
          const admins = yield* sql`SELECT 1 FROM role_binding WHERE role = 'admin' LIMIT 1`
          if (admins.length > 0) return yield* new WrongState({ state: "administered" })
          if (before.state !== "active") return yield* wrongState(before)
          return yield* toRoles(before, [...before.roles, "admin"])
        }),
      ).pipe(
        // A service asks, and of whatever version: neither is refused.
        Effect.catchTags({ Forbidden: Effect.die, StaleVersion: Effect.die }),
      )
    }),

    ban: Effect.fn("UserStore.ban")((asked) =>
      edit("user.ban", asked, (before) =>
        Effect.gen(function* () {
          const next = after(before.state, "ban")
          if (next === undefined) return yield* wrongState(before)
          const untilMs = asked.untilMs === 0 ? null : asked.untilMs
          yield* sql`UPDATE user SET state = ${next}, banned_reason = ${asked.reason}, ban_until_ms = ${untilMs}
            WHERE id = ${asked.userId}`
          if ((yield* find(sql, asked.userId)).state !== next) {
            return yield* InvalidInput.at("until_ms", "must be in the future")
          }
          yield* endSessions(sql, asked.userId)
          return {
            revocation: "ban",
            before: { state: before.state, ban_until_ms: before.banUntilMs ?? null },
            after: { state: next, ban_until_ms: untilMs },
          }
        }),
      ),
    ),

    unban: Effect.fn("UserStore.unban")((asked) =>
      edit("user.unban", asked, (before) =>
        Effect.gen(function* () {
          const next = after(before.state, "unban")
          if (next === undefined) return yield* wrongState(before)
          yield* sql`UPDATE user SET state = ${next}, banned_reason = NULL, ban_until_ms = NULL
            WHERE id = ${asked.userId}`
          return {
            revocation: "unban",
            before: { state: before.state, ban_until_ms: before.banUntilMs ?? null },
            after: { state: next },
          }
        }),
      ),
    ),

    changePassword: Effect.fn("UserStore.changePassword")((verified, newHash) =>
      mysql
        .transaction(
          "UserStore.changePassword",
          Effect.gen(function* () {
            const { userId } = verified
            yield* lock(sql, userId, "change")
            if (!(yield* isStill(verified))) return false
            yield* sql`UPDATE credential SET password_hash = ${newHash}, changed_at = UTC_TIMESTAMP(3)
              WHERE user_id = ${userId}`
            yield* endSessions(sql, userId)
            yield* bySelf("user.password", userId)
            yield* revoke(sql, userId, "password")
            return true
          }).pipe(Effect.provideService(Mysql, mysql)),
        )
        .pipe(
          retryConflicts,
          Effect.catchTag("NotFound", () => Effect.succeed(false)),
        ),
    ),

    erase: Effect.fn("UserStore.erase")((verified) =>
      mysql
        .transaction(
          "UserStore.erase",
          Effect.gen(function* () {
            const { userId } = verified
            const { user } = yield* lock(sql, userId, "change")
            if (!(yield* isStill(verified))) return false
            const next = after(user.state, "erase")
            if (next === undefined) return yield* wrongState(user)
            const [wallet] = yield* sql<{ balance: number }>`
              SELECT balance FROM wallet WHERE user_id = ${userId} FOR UPDATE`
            if (wallet === undefined || wallet.balance > 0) return yield* new WrongState({ state: "balance" })
            yield* sql`DELETE FROM credential WHERE user_id = ${userId}`
            yield* sql`DELETE FROM role_binding WHERE user_id = ${userId}`
            yield* forgetSessions(sql, userId)
            yield* sql`UPDATE user SET username = NULL, state = ${next}, banned_reason = NULL, ban_until_ms = NULL,
              version = version + 1, updated_at = UTC_TIMESTAMP(3) WHERE id = ${userId}`
            yield* bySelf("user.erase", userId)
            yield* revoke(sql, userId, "erase")
            return true
          }).pipe(Effect.provideService(Mysql, mysql)),
        )
        .pipe(
          retryConflicts,
          Effect.catchTag("NotFound", () => Effect.succeed(false)),
        ),
    ),
  })
})
