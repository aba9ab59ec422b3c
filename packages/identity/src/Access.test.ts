import { assert, describe, it, layer } from "@effect/vitest"
import { IdentityService } from "@floodgate/contracts/gen/floodgate/identity/v1/identity_pb"
import { roles } from "@floodgate/contracts/Roles"
import { IdentityRpc } from "@floodgate/contracts/rpc/Services"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { access, type Method, mayChange } from "./domain/Access.ts"
import * as TestServer from "./testing/TestServer.ts"

const services = ["edge", "identity", "inventory", "ordering", "payment", "stack", "stranger"]

/** Who may call what, written down a second time: services for themselves, users through the edge. */
const expected: Record<Method, string> = {
  register: "everybody",
  login: "everybody",
  refresh: "everybody",
  logout: "everybody",
  logoutAll: "self",
  changePassword: "self",
  getUser: "edge self risk auditor admin",
  batchGetUsers: "edge risk auditor admin",
  listUsers: "risk auditor admin",
  setRoles: "stack admin",
  grantFirstAdmin: "stack",
  banUser: "risk admin",
  unbanUser: "risk admin",
  exportUser: "self",
  eraseUser: "self",
  getJwks: "everybody",
  rotateKeys: "stack admin",
  listRevocations: "edge",
  watchRevocations: "edge",
  getWallet: "self",
  listWalletEntries: "self",
  debitWallet: "payment",
  voidDebit: "payment",
  creditWallet: "payment stack",
  getWalletLedger: "ordering",
  listWalletDecisions: "ordering",
  listAudit: "auditor admin",
  getVitals: "edge operator risk finance auditor admin",
}

/** A user calls through the edge; where a user gives no right, the edge's own counts. */
const byService: ReadonlySet<string> = new Set(["debitWallet", "voidDebit", "creditWallet"])

type AnyCall = (
  request: { readonly userId: bigint },
  options: ReturnType<typeof TestServer.person> | undefined,
) => Effect.Effect<unknown, { readonly _tag: string }>

const NOBODY = 999_999_999n

describe("access", () => {
  it("every method of the service has a row, and every guarded one declares Forbidden", () => {
    const methods = IdentityService.methods.map(({ localName }) => localName).sort()
    assert.deepStrictEqual(Object.keys(access).sort(), methods)
    for (const [method, rule] of Object.entries(access)) {
      const tags = IdentityRpc.errors[method as Method].map(
        (cls) => (cls as unknown as { _tag: string })._tag,
      )
      assert.strictEqual(tags.includes("Forbidden"), rule.services !== "any", method)
    }
  })

  it("nobody changes their own account, and administrators are for administrators", () => {
    const target = { id: 1, roles: ["customer"] }
    const admin = { id: 2, roles: ["admin"] }
    assert.isTrue(mayChange(undefined, admin))
    assert.isTrue(mayChange({ user_id: 9, roles: ["risk"] }, target))
    assert.isFalse(mayChange({ user_id: 9, roles: ["risk"] }, admin))
    assert.isTrue(mayChange({ user_id: 9, roles: ["admin"] }, admin))
    assert.isFalse(mayChange({ user_id: 2, roles: ["admin"] }, admin))
  })

  layer(TestServer.layer, { timeout: "120 seconds", excludeTestServices: true })((it) => {
    for (const method of Object.keys(expected) as ReadonlyArray<Method>) {
      it.effect(`${method} is for ${expected[method]}`, () =>
        Effect.gen(function* () {
          const { as } = yield* TestServer.TestServer
          // Of an account that isn't there, and with nothing else: who gets past the door gets no further.
          const request = { userId: NOBODY }
          const ask = (service: string, options?: ReturnType<typeof TestServer.person>) => {
            const client = as(service)
            const answer: Effect.Effect<unknown, { readonly _tag: string }> =
              method === "watchRevocations"
                ? Stream.runHead(client.watchRevocations({}, options))
                : (client as unknown as Record<string, AnyCall>)[method]!(request, options)
            return Effect.match(answer, {
              onSuccess: () => true,
              onFailure: (error) => {
                assert.notStrictEqual(error._tag, "Internal")
                return error._tag !== "Forbidden"
              },
            })
          }
          const allowed = new Set<string>()
          for (const service of services) {
            if (yield* ask(service)) allowed.add(service)
            // A user adds no right to a service that moves money.
            if (byService.has(method)) {
              const withUser = yield* ask(service, TestServer.person(NOBODY, "admin"))
              assert.strictEqual(withUser, allowed.has(service))
            }
          }
          if (!byService.has(method)) {
            if (yield* ask("edge", TestServer.person(NOBODY, "customer"))) allowed.add("self")
            for (const role of roles) {
              if (yield* ask("edge", TestServer.person(1, "customer", role))) allowed.add(role)
            }
            if (yield* ask("edge", TestServer.person(1))) allowed.add("no role")
          }
          const everybody = [...services, "self", ...roles, "no role"]
          const wanted = expected[method] === "everybody" ? everybody : expected[method].split(" ")
          assert.deepStrictEqual([...allowed].sort(), [...wanted].sort())
        }),
      )
    }
  })
})
