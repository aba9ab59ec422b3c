import { assert, describe, layer } from "@effect/vitest"
import { Mysql } from "@floodgate/runtime/mysql/Mysql"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Option from "effect/Option"
import * as Tracer from "effect/Tracer"
import { person, TestServer, layer as testServer } from "./testing/TestServer.ts"

/** Everything that went into the log and into spans. */
const told: Array<string> = []
let spans = 0

const logger = Logger.replace(
  Logger.defaultLogger,
  Logger.make((options) => {
    told.push(Logger.jsonLogger.log(options), Logger.logfmtLogger.log(options), String(options.cause))
  }),
)

const hex = (digits: number): string =>
  Array.from({ length: digits }, () => Math.floor(Math.random() * 16).toString(16)).join("")

const tracer = Layer.setTracer(
  Tracer.make({
    span: (name, parent, context, links, startTime, kind) => {
      spans += 1
      const attributes = new Map<string, unknown>()
      const note = (value: unknown): void => {
        told.push(
          String(value),
          JSON.stringify(value, (_, each) => (typeof each === "bigint" ? `${each}` : each)) ?? "",
        )
      }
      note(name)
      return {
        _tag: "Span",
        name,
        spanId: hex(16),
        traceId: Option.isSome(parent) ? parent.value.traceId : hex(32),
        parent,
        context,
        status: { _tag: "Started", startTime },
        attributes,
        links,
        sampled: true,
        kind,
        attribute: (key, value) => {
          attributes.set(key, value)
          note([key, value])
        },
        event: (event, _, values) => note([event, values]),
        addLinks: () => {},
        end: (_, exit) => {
          if (Exit.isFailure(exit)) note(exit.cause)
        },
      }
    },
    context: (execute) => execute(),
  }),
)

const observed = testServer.pipe(
  Layer.provideMerge(Layer.mergeAll(logger, tracer, Logger.minimumLogLevel(LogLevel.All))),
)

const password = "a-password-never-to-be-told"
const newPassword = "another-password-never-to-be-told"

describe("secrecy", () => {
  layer(observed, { timeout: "60 seconds", excludeTestServices: true })((it) => {
    it.effect("no password, token or key is ever told to the log or to a trace, whatever goes wrong", () =>
      Effect.gen(function* () {
        const { as } = yield* TestServer
        const [edge, stack] = [as("edge"), as("stack")]
        const secrets = new Set<string>([
          password,
          newPassword,
          "dev-only-refresh-key-of-the-tests",
          "dev-only-key-encryption-key-of-the-tests",
          "a-service-key-of-the-tests-32-chars",
        ])
        const session = (signedIn: { readonly accessToken: string; readonly refreshToken: string }) => {
          secrets.add(signedIn.accessToken).add(signedIn.refreshToken)
          return signedIn
        }
        const username = "Discreet"
        const user = yield* edge.register({ username, password })
        const self = person(user.id, "customer")
        const first = session(yield* edge.login({ username, password }))
        const second = session(yield* edge.refresh({ refreshToken: first.refreshToken }))
        session(yield* edge.refresh({ refreshToken: second.refreshToken }))
        // Everything that fails on purpose.
        const attempts: ReadonlyArray<Effect.Effect<unknown, unknown>> = [
          edge.register({ username, password }),
          edge.register({ username: "a b", password }),
          edge.register({ username: password, password }),
          edge.login({ username, password: newPassword }),
          edge.login({ username: password, password: newPassword }),
          edge.refresh({ refreshToken: first.refreshToken }),
          edge.refresh({ refreshToken: password }),
          edge.changePassword({ userId: user.id, oldPassword: newPassword, newPassword: password }, self),
          edge.eraseUser({ userId: user.id, password: newPassword }, self),
        ]
        for (const attempt of attempts) yield* Effect.flip(attempt)
        yield* edge.changePassword({ userId: user.id, oldPassword: password, newPassword }, self)
        session(yield* edge.login({ username, password: newPassword }))
        yield* stack.rotateKeys({ reason: "drill", requestId: "drill" })
        yield* edge.getJwks({})
        yield* edge.exportUser({ userId: user.id }, self)

        // Defects, in the middle of everything that handles a secret.
        const { run, sql } = yield* Mysql
        const rows = yield* run(
          "secrets",
          sql<{ text: string }>`SELECT password_hash AS text FROM credential
            UNION ALL SELECT TO_BASE64(sealed_private_jwk) FROM signing_key`,
        )
        for (const { text } of rows) secrets.add(text)
        const last = session(yield* edge.login({ username, password: newPassword }))
        for (const table of ["refresh_token", "credential", "signing_key"]) {
          yield* run("break", sql`RENAME TABLE ${sql(table)} TO elsewhere`)
          yield* Effect.all(
            [
              edge.login({ username, password: newPassword }),
              edge.refresh({ refreshToken: last.refreshToken }),
              edge.register({ username: `broken_${table}`, password }),
              edge.changePassword({ userId: user.id, oldPassword: newPassword, newPassword: password }, self),
              edge.eraseUser({ userId: user.id, password: newPassword }, self),
              stack.rotateKeys({ reason: "drill", requestId: "broken" }),
            ],
            { mode: "either" },
          )
          yield* run("mend", sql`RENAME TABLE elsewhere TO ${sql(table)}`)
        }
        // Which of the two it is now depends on how far the changes got.
        const erase = (given: string) => edge.eraseUser({ userId: user.id, password: given }, self)
        yield* Effect.orElse(erase(newPassword), () => erase(password))

        const everything = told.join("\n")
        // It did listen.
        assert.include(everything, "failed by a defect")
        assert.include(everything, "a spent refresh token came back")
        assert.isAbove(spans, 100)
        for (const secret of secrets) assert.notInclude(everything, secret)
        assert.notMatch(everything, /argon2id\$|"(d|p|q|dp|dq|qi)":"|Bearer /)
      }),
    )
  })
})
