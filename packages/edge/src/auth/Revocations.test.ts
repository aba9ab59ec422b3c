import { create, type MessageInitShape } from "@bufbuild/protobuf"
import { assert, describe, it } from "@effect/vitest"
import { Busy } from "@floodgate/contracts/errors/Errors"
import {
  ListRevocationsResponseSchema,
  type RevocationSchema,
} from "@floodgate/contracts/gen/floodgate/identity/v1/identity_pb"
import * as Readiness from "@floodgate/runtime/lifecycle/Readiness"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"
import * as FakePeers from "../testing/FakePeers.ts"
import { type Entry, KEEP_MS, RevocationList } from "./RevocationList.ts"
import * as Revocations from "./Revocations.ts"

const entry = (userId: number, more: Partial<Entry> = {}): Entry => ({
  userId,
  notBeforeMs: 1_000,
  banned: false,
  banUntilMs: undefined,
  ...more,
})

describe("RevocationList", () => {
  it("older tokens of the user are revoked, younger ones and those of others aren't", () => {
    const list = new RevocationList()
    list.add(entry(7), 1_000)
    assert.strictEqual(list.check(7, 999, 1_000), "revoked")
    assert.isUndefined(list.check(7, 1_000, 1_000))
    assert.isUndefined(list.check(8, 1, 1_000))
  })

  it("a ban refuses every token until it is lifted or ends, and those from before it stay revoked", () => {
    const list = new RevocationList()
    list.add(entry(7, { banned: true, notBeforeMs: 1_000 }), 1_000)
    assert.strictEqual(list.check(7, 999, 1_000), "banned")
    assert.strictEqual(list.check(7, 5_000, 5_000), "banned")
    list.add(entry(7, { banned: false, notBeforeMs: 500 }), 6_000)
    assert.strictEqual(list.check(7, 999, 6_000), "revoked")
    assert.isUndefined(list.check(7, 6_000, 6_000))
    list.add(entry(8, { banned: true, banUntilMs: 9_000 }), 6_000)
    assert.strictEqual(list.check(8, 6_000, 8_999), "banned")
    assert.isUndefined(list.check(8, 9_000, 9_000))
    assert.strictEqual(list.check(8, 999, 9_000), "revoked")
  })

  it("forgets what concerns no live token any more, and nothing else", () => {
    const list = new RevocationList()
    list.add(entry(1), 0)
    list.add(entry(2), 10)
    list.add(entry(1), 20)
    list.prune(KEEP_MS + 9)
    assert.strictEqual(list.size, 2)
    list.prune(KEEP_MS + 10)
    assert.strictEqual(list.size, 1)
    assert.strictEqual(list.check(1, 999, KEEP_MS + 10), "revoked")
  })

  it("never holds more than its capacity, and never lets a revoked token in for it", () => {
    const list = new RevocationList(100)
    for (let userId = 1; userId <= 1_000; userId++) {
      list.add(entry(userId, { notBeforeMs: userId, banned: userId % 2 === 0 }), userId)
      assert.isAtMost(list.size, 100)
    }
    for (let userId = 1; userId <= 1_000; userId++) {
      assert.isDefined(list.check(userId, userId - 1, 1_000), String(userId))
    }
    assert.isUndefined(list.check(9_999, 1_000, 1_000))
  })
})

/** Identity's list, which can be added to, paged, or taken away. */
const makeIdentity = () => {
  const state = {
    history: [] as Array<MessageInitShape<typeof RevocationSchema>>,
    away: undefined as "busy" | "hanging" | "broken" | undefined,
    calls: 0,
    pageSize: 2,
    logs: [] as Array<unknown>,
  }
  const revoke = (userId: number, more: MessageInitShape<typeof RevocationSchema> = {}) =>
    state.history.push({
      userId: BigInt(userId),
      notBeforeMs: 1_000n,
      ...(more as object),
      revision: BigInt(state.history.length + 1),
    })
  const peers = FakePeers.identity({
    listRevocations: ({ sinceRevision }, options) =>
      Effect.suspend(() => {
        state.calls++
        if (state.away === "broken") return Effect.die(new Error("broken"))
        if (state.away === "busy") return Effect.fail(new Busy({}))
        if (state.away === "hanging") return Effect.delay(Effect.fail(new Busy({})), options!.deadlineMs!)
        const since = Number(sinceRevision ?? 0n)
        const entries = state.history.slice(since, since + state.pageSize)
        const revision = Math.min(state.history.length, since + entries.length)
        return Effect.succeed(
          create(ListRevocationsResponseSchema, {
            revision: BigInt(revision),
            entries,
            more: revision < state.history.length,
          }),
        )
      }),
  })
  const logger = Logger.replace(
    Logger.defaultLogger,
    Logger.make(({ message }) => void state.logs.push(message)),
  )
  const layer = Revocations.layer.pipe(
    Layer.provide(peers),
    Layer.provideMerge(Readiness.layer),
    Layer.provide(logger),
  )
  return { state, revoke, layer }
}

describe("Revocations", () => {
  it.effect("all of them are there before the edge is ready", () => {
    const { layer, revoke, state } = makeIdentity()
    for (let userId = 1; userId <= 5; userId++) revoke(userId)
    state.away = "busy"
    return Effect.gen(function* () {
      const revocations = yield* Revocations.Revocations
      const readiness = yield* Readiness.Readiness
      yield* TestClock.adjust("10 seconds")
      assert.isFalse((yield* readiness.status).ready)
      assert.isFalse(revocations.isLoaded())
      assert.lengthOf(state.logs, 1)
      state.away = undefined
      yield* TestClock.adjust(Revocations.POLL_MS)
      assert.isTrue((yield* readiness.status).ready)
      for (let userId = 1; userId <= 5; userId++)
        assert.strictEqual(revocations.check(userId, 999), "revoked")
    }).pipe(Effect.provide(layer))
  })

  it.effect("a new one is heard within a poll, and told to those who hold streams open", () => {
    const { layer, revoke } = makeIdentity()
    revoke(1)
    return Effect.gen(function* () {
      const revocations = yield* Revocations.Revocations
      yield* TestClock.adjust(0)
      const heard: Array<number> = []
      const scope = yield* Scope.make()
      yield* Scope.extend(
        revocations.onRevoked(({ userId }) => void heard.push(userId)),
        scope,
      )
      revoke(7, { banned: true })
      assert.isUndefined(revocations.check(7, 2_000))
      yield* TestClock.adjust(Revocations.POLL_MS)
      assert.strictEqual(revocations.check(7, 2_000), "banned")
      assert.deepStrictEqual(heard, [7])
      yield* Scope.close(scope, Effect.runSync(Effect.exit(Effect.void)))
      revoke(8)
      yield* TestClock.adjust(Revocations.POLL_MS)
      assert.deepStrictEqual(heard, [7])
    }).pipe(Effect.provide(layer))
  })

  for (const away of ["busy", "hanging", "broken"] as const) {
    it.effect(
      `identity ${away}: the last known list holds, the log has one line, and news come when it is back`,
      () => {
        const { layer, revoke, state } = makeIdentity()
        revoke(1, { banned: true })
        return Effect.gen(function* () {
          const revocations = yield* Revocations.Revocations
          const readiness = yield* Readiness.Readiness
          yield* TestClock.adjust(0)
          state.away = away
          revoke(2)
          yield* TestClock.adjust("1 minute")
          assert.isTrue((yield* readiness.status).ready)
          assert.strictEqual(revocations.check(1, 0), "banned")
          assert.isUndefined(revocations.check(2, 0))
          assert.lengthOf(state.logs, 1)
          state.away = undefined
          yield* TestClock.adjust("1 second")
          assert.strictEqual(revocations.check(2, 0), "revoked")
          assert.lengthOf(state.logs, 2)
        }).pipe(Effect.provide(layer))
      },
    )
  }

  it.effect("a history that begins anew is read from its beginning", () => {
    const { layer, revoke, state } = makeIdentity()
    for (let userId = 1; userId <= 5; userId++) revoke(userId)
    return Effect.gen(function* () {
      const revocations = yield* Revocations.Revocations
      yield* TestClock.adjust(0)
      state.history = []
      revoke(9)
      yield* TestClock.adjust(Revocations.POLL_MS * 2)
      assert.strictEqual(revocations.check(9, 0), "revoked")
      assert.strictEqual(revocations.check(1, 0), "revoked")
    }).pipe(Effect.provide(layer))
  })
})
