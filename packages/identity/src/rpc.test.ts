import { assert, describe, layer } from "@effect/vitest"
import { WalletEntryKind, WalletOutcome } from "@floodgate/contracts/gen/floodgate/identity/v1/identity_pb"
import { IdentityClient } from "@floodgate/contracts/rpc/IdentityClient"
import * as ServiceCredential from "@floodgate/contracts/rpc/ServiceCredential"
import * as GrpcServer from "@floodgate/runtime/grpc/GrpcServer"
import { Readiness } from "@floodgate/runtime/lifecycle/Readiness"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { rpc } from "./rpc.ts"
import * as TestIdentity from "./testing/TestIdentity.ts"

const credential = ServiceCredential.make({
  service: "test",
  keys: [Redacted.make("a-service-key-of-the-tests-32-chars")],
})

/** A client of the real server, over a real connection. */
const client = Layer.unwrapScoped(
  Effect.map(
    GrpcServer.make({ port: Config.succeed(0), host: Config.succeed("127.0.0.1"), services: [rpc] }),
    ({ port }) => IdentityClient.layer({ url: `127.0.0.1:${port}`, credential }),
  ),
).pipe(
  Layer.provide(TestIdentity.layer),
  Layer.provide(Readiness.layer),
  Layer.provide(Layer.succeed(ServiceCredential.ServiceCredential, credential)),
)

const password = "correct horse"
/** Hashing is slow where a test machine is busy. */
const patient = { deadlineMs: 20_000 }

describe("identity over gRPC", () => {
  layer(client, { timeout: "60 seconds", excludeTestServices: true })((it) => {
    it.effect("an account from registration to sign-out", () =>
      Effect.gen(function* () {
        const identity = yield* IdentityClient
        const user = yield* identity.register({ username: "Alice_1", password }, patient)
        assert.deepInclude(user, { username: "Alice_1", roles: ["customer"], balance: 0n })
        assert.strictEqual(
          (yield* Effect.flip(identity.register({ username: "alice_1", password }, patient)))._tag,
          "UsernameTaken",
        )
        const session = yield* identity.login({ username: "alice_1", password }, patient)
        assert.strictEqual(session.expiresIn, 900)
        assert.strictEqual(
          (yield* Effect.flip(identity.login({ username: "alice_1", password: "wrong one" }, patient)))._tag,
          "WrongCredentials",
        )
        const next = yield* identity.refresh({ refreshToken: session.refreshToken }, patient)
        yield* identity.logout({ refreshToken: next.refreshToken })
        assert.strictEqual(
          (yield* Effect.flip(identity.refresh({ refreshToken: next.refreshToken })))._tag,
          "Unauthenticated",
        )
        assert.strictEqual((yield* identity.getUser({ userId: user.id })).username, "Alice_1")
        const { users } = yield* identity.batchGetUsers({
          userIds: [user.id, user.id, 999_999n, 2n ** 64n - 1n],
        })
        assert.deepStrictEqual(
          users.map(({ id }) => id),
          [user.id],
        )
        assert.strictEqual((yield* Effect.flip(identity.getUser({ userId: 2n ** 63n })))._tag, "NotFound")
        assert.strictEqual(
          (yield* Effect.flip(identity.batchGetUsers({ userIds: Array.from({ length: 501 }, () => 1n) })))
            ._tag,
          "InvalidInput",
        )
        const { jwksJson } = yield* identity.getJwks({})
        assert.lengthOf(JSON.parse(jwksJson).keys, 1)
      }),
    )

    it.effect("a wallet: topped up, debited, voided, listed by pages", () =>
      Effect.gen(function* () {
        const identity = yield* IdentityClient
        const { id: userId } = yield* identity.register({ username: "wallet", password }, patient)
        const credit = { creditId: "c1", userId, amount: 100n, currency: "CNY", kind: WalletEntryKind.TOPUP }
        const entry = yield* identity.creditWallet(credit)
        assert.deepStrictEqual(yield* identity.creditWallet(credit), entry)
        const debit = { paymentId: "p1", userId, amount: 30n, currency: "CNY", orderNum: "o1" }
        assert.deepInclude(yield* identity.debitWallet(debit), {
          outcome: WalletOutcome.DEBITED,
          balanceAfter: 70n,
        })
        assert.strictEqual(
          (yield* identity.debitWallet({ ...debit, paymentId: "p2", amount: 71n })).outcome,
          WalletOutcome.DECLINED,
        )
        assert.strictEqual(
          (yield* identity.voidDebit({ paymentId: "p3", userId })).outcome,
          WalletOutcome.VOID,
        )
        assert.deepInclude(yield* identity.getWallet({ userId }), { balance: 70n, currency: "CNY" })
        const first = yield* identity.listWalletEntries({ userId, pageSize: 1 })
        const second = yield* identity.listWalletEntries({
          userId,
          pageSize: 1,
          pageToken: first.nextPageToken,
        })
        assert.deepStrictEqual(
          [...first.entries, ...second.entries].map(({ kind, amount, balanceAfter, orderNum }) => [
            kind,
            amount,
            balanceAfter,
            orderNum,
          ]),
          [
            [WalletEntryKind.PAYMENT, -30n, 70n, "o1"],
            [WalletEntryKind.TOPUP, 100n, 100n, ""],
          ],
        )
        assert.strictEqual(second.nextPageToken, "")
        for (const bad of [
          identity.debitWallet({ ...debit, amount: 0n }),
          identity.debitWallet({ ...debit, amount: -1n }),
          identity.debitWallet({ ...debit, paymentId: "" }),
          identity.debitWallet({ ...debit, orderNum: "x".repeat(41) }),
          Effect.asVoid(identity.creditWallet({ ...credit, kind: WalletEntryKind.PAYMENT })),
          Effect.asVoid(identity.listWalletEntries({ userId, pageSize: 101 })),
          Effect.asVoid(identity.listWalletEntries({ userId, pageToken: "nonsense" })),
        ] as ReadonlyArray<Effect.Effect<unknown, { readonly _tag: string }>>) {
          assert.strictEqual((yield* Effect.flip(bad))._tag, "InvalidInput")
        }
      }),
    )

    it.effect("roles: a person needs the permission, a service is trusted, unknown roles are refused", () =>
      Effect.gen(function* () {
        const identity = yield* IdentityClient
        const { id: userId } = yield* identity.register({ username: "roles", password }, patient)
        const change = { userId, roles: ["customer", "operator"], reason: "demo", requestId: "rpc-1" }
        const customer = { user_id: Number(userId), username: "roles", roles: ["customer"] }
        assert.strictEqual(
          (yield* Effect.flip(identity.setRoles(change, { caller: customer })))._tag,
          "Unauthenticated",
        )
        assert.deepStrictEqual((yield* identity.setRoles(change)).roles, ["customer", "operator"])
        const admin = { ...customer, roles: ["admin"] }
        assert.deepStrictEqual(
          (yield* identity.setRoles(
            { ...change, roles: ["customer"], requestId: "rpc-2" },
            { caller: admin },
          )).roles,
          ["customer"],
        )
        for (const bad of [{ roles: ["root"] }, { reason: " " }]) {
          assert.strictEqual(
            (yield* Effect.flip(identity.setRoles({ ...change, ...bad })))._tag,
            "InvalidInput",
          )
        }
      }),
    )
  })
})
