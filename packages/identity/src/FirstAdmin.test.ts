import { assert, describe, layer } from "@effect/vitest"
import { Mysql } from "@floodgate/runtime/mysql/Mysql"
import * as Effect from "effect/Effect"
import { TestServer, layer as testServer } from "./testing/TestServer.ts"

const password = "correct horse"

const register = (username: string) =>
  Effect.flatMap(TestServer, ({ as }) => as("edge").register({ username, password }))

const grant = (username: string) =>
  Effect.flatMap(TestServer, ({ as }) => as("stack").grantFirstAdmin({ username }))

const rolesRecorded = Effect.flatMap(Mysql, ({ run, sql }) =>
  run(
    "recorded",
    sql<Record<string, unknown>>`
      SELECT actor_id, target_id, before_json, after_json, reason FROM audit WHERE action = 'user.roles'`,
  ),
)

describe("the first administrator", () => {
  layer(testServer, { timeout: "60 seconds", excludeTestServices: true })((it) => {
    it.effect("is one account, however many are asked for, and the trail says which", () =>
      Effect.gen(function* () {
        const { as } = yield* TestServer
        for (const nobody of ["nobody_here", "", "no such name", "名字"]) {
          assert.strictEqual((yield* Effect.flip(grant(nobody)))._tag, "NotFound", nobody)
        }

        const banned = yield* register("banned_early")
        const { run, sql } = yield* Mysql
        yield* run(
          "ban",
          sql`UPDATE user SET state = 'banned', banned_reason = 'x' WHERE id = ${Number(banned.id)}`,
        )
        assert.deepInclude(yield* Effect.flip(grant("banned_early")), { _tag: "WrongState", state: "banned" })
        assert.lengthOf(yield* rolesRecorded, 0)

        const names = ["founder_a", "founder_b", "founder_c", "founder_d"]
        for (const name of names) yield* register(name)
        const answers = yield* Effect.forEach(names, (name) => Effect.either(grant(name)), {
          concurrency: "unbounded",
        })
        const granted = answers.flatMap((answer) => (answer._tag === "Right" ? [answer.right] : []))
        assert.lengthOf(granted, 1)
        const [admin] = granted
        assert.deepStrictEqual(admin!.roles, ["admin", "customer"])
        for (const answer of answers) {
          if (answer._tag === "Left")
            assert.deepInclude(answer.left, { _tag: "WrongState", state: "administered" })
        }

        // Repeated, it is the same; for anybody else it is over.
        assert.deepInclude(yield* grant(admin!.username.toUpperCase()), {
          id: admin!.id,
          version: admin!.version,
        })
        yield* register("too_late")
        assert.deepInclude(yield* Effect.flip(grant("too_late")), {
          _tag: "WrongState",
          state: "administered",
        })

        assert.deepStrictEqual(yield* rolesRecorded, [
          {
            actor_id: 0,
            target_id: String(admin!.id),
            before_json: '{"roles":["customer"]}',
            after_json: '{"roles":["admin","customer"]}',
            reason: "the first administrator",
          },
        ])
        // Tokens that say otherwise are over.
        const { entries } = yield* as("edge").listRevocations({ sinceRevision: 0n })
        assert.deepStrictEqual(
          entries.map(({ userId, reason }) => ({ userId, reason })),
          [{ userId: admin!.id, reason: "roles" }],
        )
      }),
    )
  })
})
