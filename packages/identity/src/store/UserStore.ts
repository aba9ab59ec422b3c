/** Accounts, their credentials and roles in MySQL. */
import { NotFound, UsernameTaken } from "@floodgate/contracts/errors/Errors"
import * as Audit from "@floodgate/runtime/audit/Audit"
import { affected, Mysql, retryConflicts } from "@floodgate/runtime/mysql/Mysql"
import type { MysqlError } from "@floodgate/runtime/mysql/MysqlError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

export interface User {
  readonly id: number
  readonly username: string
  /** In alphabetical order. */
  readonly roles: ReadonlyArray<string>
  /** Of the wallet, minor units. */
  readonly balance: number
  readonly createdAtMs: number
  readonly updatedAtMs: number
}

interface UserRow {
  readonly id: number
  readonly username: string
  readonly roles: string | null
  readonly balance: number
  readonly created_at_ms: number
  readonly updated_at_ms: number
}

const toUser = (row: UserRow): User => ({
  id: row.id,
  username: row.username,
  roles: row.roles === null ? [] : row.roles.split(","),
  balance: row.balance,
  createdAtMs: row.created_at_ms,
  updatedAtMs: row.updated_at_ms,
})

export interface RoleChange {
  readonly userId: number
  readonly roles: ReadonlyArray<string>
  readonly reason: string
  /** Makes one change, however often it is asked for; none where it is empty. */
  readonly requestId: string
  /** Who changes them; 0 for a service. */
  readonly actorId: number
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
    /** The account of this name with its password's hash. */
    readonly credentialOf: (
      username: string,
    ) => Effect.Effect<{ readonly user: User; readonly passwordHash: string } | undefined, MysqlError>
    readonly get: (id: number) => Effect.Effect<User, NotFound | MysqlError>
    /** Those that exist, by id. */
    readonly getMany: (ids: ReadonlyArray<number>) => Effect.Effect<ReadonlyArray<User>, MysqlError>
    /** Makes these the account's roles, and writes it into the audit log where that changes anything. */
    readonly setRoles: (change: RoleChange) => Effect.Effect<User, NotFound | MysqlError>
  }
>() {
  static readonly layer: Layer.Layer<UserStore, never, Mysql> = Layer.effect(
    UserStore,
    Effect.suspend(() => make),
  )
}

const make = Effect.gen(function* () {
  const mysql = yield* Mysql
  const { sql } = mysql

  const columns = sql.literal(`
    u.id, u.username, w.balance,
    (SELECT GROUP_CONCAT(r.role ORDER BY r.role) FROM role_binding r WHERE r.user_id = u.id) AS roles,
    CAST(ROUND(UNIX_TIMESTAMP(u.created_at) * 1000) AS SIGNED) AS created_at_ms,
    CAST(ROUND(UNIX_TIMESTAMP(u.updated_at) * 1000) AS SIGNED) AS updated_at_ms
    FROM user u JOIN wallet w ON w.user_id = u.id`)

  const find = (id: number) =>
    Effect.flatMap(sql<UserRow>`SELECT ${columns} WHERE u.id = ${id}`, ([row]) =>
      row === undefined ? Effect.fail(new NotFound()) : Effect.succeed(toUser(row)),
    )

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
            return yield* Effect.orDie(Effect.catchTag(find(insertId), "SqlError", Effect.fail))
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

    credentialOf: Effect.fn("UserStore.credentialOf")((username) =>
      Effect.map(
        mysql.run(
          "UserStore.credentialOf",
          sql<UserRow & { readonly password_hash: string }>`
            SELECT c.password_hash, ${columns} JOIN credential c ON c.user_id = u.id
            WHERE u.username = ${username}`,
        ),
        ([row]) => (row === undefined ? undefined : { user: toUser(row), passwordHash: row.password_hash }),
      ),
    ),

    get: Effect.fn("UserStore.get")((id) => mysql.run("UserStore.get", find(id))),

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

    setRoles: Effect.fn("UserStore.setRoles")(function* ({ userId, roles, reason, requestId, actorId }) {
      return yield* mysql
        .transaction(
          "UserStore.setRoles",
          Effect.gen(function* () {
            yield* sql`SELECT id FROM user WHERE id = ${userId} FOR UPDATE`
            const before = yield* find(userId)
            const done = yield* Audit.isRecorded("user.roles", requestId)
            const wanted = [...new Set(roles)].sort()
            if (done || wanted.join() === before.roles.join()) return before
            yield* sql`DELETE FROM role_binding WHERE user_id = ${userId}`
            yield* sql`INSERT INTO role_binding (user_id, role)
              SELECT ${userId}, role FROM JSON_TABLE(${JSON.stringify(wanted)}, '$[*]'
                COLUMNS (role VARCHAR(16) PATH '$')) wanted`
            yield* sql`UPDATE user SET updated_at = UTC_TIMESTAMP(3) WHERE id = ${userId}`
            yield* Audit.append([
              {
                actorId,
                action: "user.roles",
                targetType: "user",
                targetId: userId,
                before: { roles: before.roles },
                after: { roles: wanted },
                reason,
                requestId,
              },
            ])
            return yield* find(userId)
          }).pipe(Effect.provideService(Mysql, mysql)),
        )
        .pipe(retryConflicts)
    }),
  })
})
