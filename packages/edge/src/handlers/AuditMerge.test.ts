import { assert, describe, it } from "@effect/vitest"
import { type AuditService, auditServices } from "@floodgate/contracts/http/Audit"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as AuditMerge from "./AuditMerge.ts"

type Trails = Record<AuditService, Array<AuditMerge.Entry>>

/** A service's list as services make them: newest id first, the page's token is its last id. */
const asker =
  (trails: Trails, pageSize: number) =>
  (service: AuditService, token: string): Effect.Effect<AuditMerge.TrailPage<AuditMerge.Entry>> =>
    Effect.sync(() => {
      const below = trails[service]
        .filter(({ id }) => token === "" || id < BigInt(token))
        .sort((a, b) => Number(b.id - a.id))
      const entries = below.slice(0, pageSize)
      return { entries, nextPageToken: below.length > pageSize ? String(entries.at(-1)!.id) : "" }
    })

const name = ([service, { id }]: readonly [AuditService, AuditMerge.Entry]) => `${service}-${id}`

/** Reads to the end; `between` runs after every page. */
const readAll = (trails: Trails, limit: number, between: () => void = () => {}) =>
  Effect.gen(function* () {
    const seen: Array<readonly [AuditService, AuditMerge.Entry]> = []
    let at = AuditMerge.beginning
    for (let pages = 0; pages < 1_000; pages++) {
      const { entries, next } = yield* AuditMerge.take(at, limit, asker(trails, limit))
      assert.isAtMost(entries.length, limit)
      seen.push(...entries)
      const cursor = AuditMerge.formatCursor(next)
      if (cursor === null) return seen
      assert.match(cursor, /^[A-Za-z0-9_.~=-]{1,512}$/)
      at = AuditMerge.parseCursor(cursor)!
      between()
    }
    return assert.fail("the list has no end")
  })

const trailArbitrary = FastCheck.array(FastCheck.integer({ min: 0, max: 3 }), { maxLength: 25 }).map(
  (steps) => {
    let atMs = 1_000
    return steps.map((step, i) => {
      atMs += step
      return { id: BigInt(i + 1), atMs: BigInt(atMs) }
    })
  },
)

describe("AuditMerge", () => {
  it.effect.prop(
    "every entry of every trail comes once, newest first, whatever the page",
    [
      FastCheck.record({
        identity: trailArbitrary,
        inventory: trailArbitrary,
        ordering: trailArbitrary,
        payment: trailArbitrary,
        edge: trailArbitrary,
      }),
      FastCheck.integer({ min: 1, max: 12 }),
    ],
    ([trails, limit]) =>
      Effect.gen(function* () {
        const seen = yield* readAll(trails, limit)
        const all = auditServices.flatMap((service) => trails[service].map((entry) => name([service, entry])))
        assert.sameMembers(seen.map(name), all)
        assert.strictEqual(new Set(seen.map(name)).size, seen.length)
        for (let i = 1; i < seen.length; i++) {
          assert.isTrue(seen[i]![1].atMs <= seen[i - 1]![1].atMs)
        }
      }).pipe(Effect.asVoid),
  )

  it.effect("what is added while one pages is neither shown nor does it push anything out", () =>
    Effect.gen(function* () {
      const entries = (n: number) =>
        Array.from({ length: n }, (_, i) => ({ id: BigInt(i + 1), atMs: BigInt(i) }))
      const trails: Trails = {
        identity: entries(10),
        inventory: entries(3),
        ordering: [],
        payment: entries(1),
        edge: entries(2),
      }
      const before = auditServices.flatMap((service) =>
        trails[service].map((entry) => name([service, entry])),
      )
      let added = 100
      const seen = yield* readAll(trails, 4, () => {
        for (let i = 0; i < 5; i++) trails.identity.push({ id: BigInt(++added), atMs: BigInt(added) })
      })
      assert.sameMembers(seen.map(name), before)
    }),
  )

  it.effect("a trail that can't be read fails the whole list", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(
        AuditMerge.take(AuditMerge.beginning, 10, (service) =>
          service === "payment" ? Effect.fail("away") : Effect.succeed({ entries: [], nextPageToken: "" }),
        ),
      )
      assert.strictEqual(error, "away")
    }),
  )

  it("a text that is no cursor is none", () => {
    const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url")
    for (const text of [
      "",
      "x",
      encode({}),
      encode([]),
      encode([1, 2, 3, 4, 5]),
      encode([["", "x"], null, null, null, null]),
    ]) {
      assert.isUndefined(AuditMerge.parseCursor(text), text)
    }
    assert.deepStrictEqual(AuditMerge.parseCursor(encode([["t", "9"], null, null, null, null])), {
      identity: { token: "t", after: 9n },
      inventory: null,
      ordering: null,
      payment: null,
      edge: null,
    })
  })
})
