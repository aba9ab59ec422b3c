/** What rules, lists, devices and challenges go by, without any engine. */
import { assert, describe, it } from "@effect/vitest"
import type { ListName } from "@floodgate/contracts/http/Risk"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as TestClock from "effect/TestClock"
import * as ChallengeProvider from "../challenge/ChallengeProvider.ts"
import * as ProofOfWork from "../challenge/ProofOfWork.ts"
import * as AccountAges from "./AccountAges.ts"
import * as AddressList from "./AddressList.ts"
import * as Device from "./Device.ts"
import * as RiskRecords from "./RiskRecords.ts"
import { type NewRecord, RiskStore } from "./RiskStore.ts"
import * as SlidingWindow from "./SlidingWindow.ts"
import * as Timing from "./Timing.ts"

const { assert: hold, property } = FastCheck

describe("a sliding window", () => {
  const gaps = FastCheck.array(FastCheck.integer({ min: 0, max: 700 }), { minLength: 1, maxLength: 60 })

  it("never counts less than the hits since its window began, nor more than those of two windows", () =>
    hold(
      property(gaps, (between) => {
        const windowMs = 1_000
        const hits: Array<number> = []
        let now = 123_456
        let state = SlidingWindow.empty
        for (const gap of between) {
          now += gap
          hits.push(now)
          state = SlidingWindow.add(state, now, windowMs, 1)
          const count = SlidingWindow.count(state, now, windowMs)
          const began = Math.floor(now / windowMs) * windowMs
          assert.isAtLeast(count, hits.filter((at) => at >= began).length)
          assert.isAtMost(count, hits.filter((at) => at >= began - windowMs).length)
        }
      }),
    ))

  it("says when there is room again, and not before", () =>
    hold(
      property(gaps, FastCheck.integer({ min: 1, max: 10 }), (between, max) => {
        let now = 50_000
        let state = SlidingWindow.empty
        for (const gap of between) {
          now += gap
          state = SlidingWindow.add(state, now, 1_000, 1)
        }
        const waitMs = SlidingWindow.waitMs(state, now, 1_000, max)
        assert.isBelow(SlidingWindow.count(state, now + waitMs, 1_000), max)
        if (waitMs > 3) assert.isAtLeast(SlidingWindow.count(state, now + waitMs - 3, 1_000), max - 0.05)
      }),
    ))
})

describe("timing", () => {
  it("a machine's is found whatever its pace, and a pause begins anew", () => {
    const row = (gap: (i: number) => number, times: number) => {
      const moments: Timing.Moments = []
      let now = 1_000
      for (let i = 0; i < times; i++) {
        now += gap(i)
        Timing.see(moments, now)
      }
      return moments
    }
    assert.strictEqual(
      Timing.jitterMs(
        row(() => 250, 8),
        8,
      ),
      0,
    )
    assert.isUndefined(
      Timing.jitterMs(
        row(() => 250, 7),
        8,
      ),
    )
    assert.isAbove(
      Timing.jitterMs(
        row((i) => 200 + (i % 3) * 150, 12),
        8,
      )!,
      50,
    )
    assert.lengthOf(
      row((i) => (i === 9 ? 61_000 : 10), 10),
      1,
    )
    assert.lengthOf(
      row(() => 5, 100),
      Timing.KEPT,
    )
    // All at once is a burst, not a rhythm.
    assert.isUndefined(
      Timing.jitterMs(
        row(() => 0, 20),
        8,
      ),
    )
  })
})

describe("ages of accounts", () => {
  it("no account is said to be newer than it is", () =>
    hold(
      property(
        FastCheck.uniqueArray(FastCheck.integer({ min: 1, max: 500 }), { minLength: 1, maxLength: 50 }),
        FastCheck.integer({ min: 1, max: 600 }),
        (learned, asked) => {
          // The truth: account n was made at n * 10.
          const ages = AccountAges.make()
          for (const id of learned) ages.learn(id, id * 10)
          const notBefore = ages.notBeforeMs(asked)
          const below = learned.filter((id) => id <= asked)
          if (below.length === 0) assert.isUndefined(notBefore)
          else assert.isAtMost(notBefore!, asked * 10)
        },
      ),
    ))
})

describe("address lists", () => {
  it("blocks have one way to be written, and what is none is refused", () => {
    for (const [text, normalized] of [
      ["192.0.2.7", "192.0.2.7/32"],
      ["192.0.2.0/24", "192.0.2.0/24"],
      ["0.0.0.0/0", "0.0.0.0/0"],
      ["2001:DB8:0:0::/32", "2001:db8::/32"],
      ["::1", "::1/128"],
      ["::ffff:192.0.2.7", "192.0.2.7/32"],
      ["::ffff:192.0.2.0/120", "192.0.2.0/24"],
    ] as const) {
      assert.strictEqual(AddressList.normalize(text), normalized)
    }
    for (const text of [
      "",
      "127.1",
      "192.0.2.1/24",
      "192.0.2.0/33",
      "192.0.2.0/-1",
      "192.0.2.0/024",
      "x",
      "fe80::1%eth0",
      "1.2.3.4/8/8",
      "010.0.0.1",
    ]) {
      assert.isUndefined(AddressList.normalize(text), text)
    }
  })

  const entryOf = ([bits, prefix, list]: readonly [number, number, ListName]): AddressList.Entry => {
    const size = 2 ** (32 - prefix)
    const first = Math.floor(bits / size) * size
    const dotted = [24, 16, 8, 0].map((shift) => Math.floor(first / 2 ** shift) % 256).join(".")
    return { cidr: `${dotted}/${prefix}`, list, expiresMs: undefined }
  }

  it("the list that wins is the one that a search through all of them finds", () =>
    hold(
      property(
        FastCheck.array(
          FastCheck.tuple(
            FastCheck.integer({ min: 0, max: 1_023 }),
            FastCheck.integer({ min: 22, max: 32 }),
            FastCheck.constantFrom<Array<ListName>>("black", "grey", "white"),
          ),
          { maxLength: 12 },
        ),
        FastCheck.integer({ min: 0, max: 1_100 }),
        (blocks, address) => {
          // As in the database: a block is on one list.
          const entries = [...new Map(blocks.map(entryOf).map((entry) => [entry.cidr, entry])).values()]
          const found = AddressList.compile(entries).find(`0.0.${address >> 8}.${address & 255}`, 0)
          const covering = entries.filter(({ cidr }) => {
            const [dotted = "", bits = ""] = cidr.split("/")
            const [, , high = 0, low = 0] = dotted.split(".").map(Number)
            const first = high * 256 + low
            return address >= first && address < first + 2 ** (32 - Number(bits))
          })
          const winner = (["white", "black", "grey"] as const).find((list) =>
            covering.some((entry) => entry.list === list),
          )
          assert.strictEqual(found?.list, winner)
        },
      ),
    ))

  it("what expires gives way to what stands behind it, and IPv6 is matched by its prefix", () => {
    const list = AddressList.compile([
      { cidr: "192.0.2.0/24", list: "black", expiresMs: undefined },
      { cidr: "192.0.2.7/32", list: "white", expiresMs: 1_000 },
      { cidr: "2001:db8:0:1::/61", list: "grey", expiresMs: undefined },
    ])
    assert.strictEqual(list.find("192.0.2.7", 999)?.list, "white")
    assert.strictEqual(list.find("192.0.2.7", 1_000)?.list, "black")
    assert.isUndefined(list.find("198.51.100.1", 0))
    assert.isUndefined(list.find("nonsense", 0))
    assert.deepStrictEqual(AddressList.covering("192.0.2.7").slice(-2), ["192.0.2.6/31", "192.0.2.7/32"])
    assert.include(AddressList.covering("2001:db8:0:3::77"), "2001:db8:0:3::/64")
  })
})

describe("devices", () => {
  const devices = Device.make(["new", "old"])

  it("an id is known by any of the keys, in cookie or header, and by nothing else", () => {
    const id = Device.make(["old"]).issue()
    const key = id.slice(0, 22)
    for (const headers of [{ cookie: `x=1; fg_device=${id}; y=2` }, { "x-device-id": id }]) {
      assert.deepStrictEqual(devices.of(headers as Device.Headers), { key, signed: true })
    }
    assert.isFalse(devices.of({ "x-device-id": Device.make(["another"]).issue() })?.signed)
    assert.isUndefined(devices.signedIdOf({ "x-device-id": "a-hint" }))
    assert.isUndefined(devices.of({ cookie: `my_fg_device=${id}` }))
  })

  it("no device is nobody's device, and a hint is kept as a hash", () => {
    for (const hint of ["", "null", "undefined", "has blanks", "x".repeat(129), "0"]) {
      assert.isUndefined(devices.of({ "x-device-id": hint }), hint)
    }
    assert.isUndefined(devices.of({}))
    const device = devices.of({ "x-device-id": "imei-354462060000001" })!
    assert.match(device.key, /^~[\w-]{22}$/)
    assert.isFalse(device.signed)
  })
})

describe("challenges", () => {
  const provider = ChallengeProvider.make(["key"], 4)
  const candidate = { userId: 7, productId: 42, deviceId: "d", suspicion: 0 }

  it.effect("are solved by whom they were posed to, in time, and by nobody else", () =>
    Effect.gen(function* () {
      const posed = yield* provider.pose(candidate, 1_000)
      assert.isAtMost(posed.id.length, 100, "must fit a segment of a path")
      const solution = ProofOfWork.solve(posed.nonce, posed.bits)
      const judge = (id: string, userId: number, deviceId: string | undefined, nowMs: number) =>
        Effect.map(provider.judge(id, { userId, deviceId }, solution, nowMs), ({ _tag }) => _tag)
      assert.strictEqual(yield* judge(posed.id, 7, "d", 2_000), "Solved")
      assert.strictEqual(yield* judge(posed.id, 8, "d", 2_000), "Unknown")
      assert.strictEqual(yield* judge(posed.id, 7, "e", 2_000), "Unknown")
      assert.strictEqual(yield* judge(posed.id, 7, undefined, 2_000), "Unknown")
      assert.strictEqual(yield* judge(posed.id, 7, "d", posed.expiresMs), "Unknown")
      for (let i = 0; i < 59; i++) {
        const bytes = Buffer.from(posed.id, "base64url")
        bytes[i]! ^= 1
        assert.strictEqual(yield* judge(bytes.toString("base64url"), 7, "d", 2_000), "Unknown")
      }
      const harder = yield* provider.pose({ ...candidate, suspicion: 99 }, 1_000)
      assert.strictEqual(harder.bits, ProofOfWork.MAX_BITS)
    }),
  )

  it("zero bits are counted across bytes", () => {
    assert.strictEqual(ProofOfWork.zeroBits(Uint8Array.of(0x80)), 0)
    assert.strictEqual(ProofOfWork.zeroBits(Uint8Array.of(0, 0x1f)), 11)
    assert.strictEqual(ProofOfWork.zeroBits(Uint8Array.of(0, 0)), 16)
  })
})

describe("records", () => {
  const happening = (userId: number): RiskRecords.Happening => ({
    userId,
    ip: "192.0.2.7",
    deviceKey: undefined,
    route: "seckill",
    ruleId: 3,
    decision: "block",
    code: 702,
    evidence: { count: 4 },
  })

  it.scoped("a flood becomes few rows that add up to all of it, also over an outage of the database", () =>
    Effect.gen(function* () {
      const rows: Array<NewRecord> = []
      let away = false
      const store = RiskStore.of({
        ...({} as RiskStore["Type"]),
        insertRecords: (records) =>
          away ? Effect.die("away") : Effect.sync(() => void rows.push(...records)),
        purgeRecords: () => Effect.succeed(0),
      })
      const records = yield* Effect.provideService(RiskRecords.make, RiskStore, store)
      const total = () => rows.reduce((sum, { evidence }) => sum + (evidence["times"] as number), 0)
      for (let i = 0; i < 100; i++) records.add(happening(1))
      yield* TestClock.adjust(1_000)
      assert.deepStrictEqual(
        rows.map(({ evidence, userId }) => [userId, evidence["times"]]),
        [[1, 100]],
      )
      for (let i = 0; i < 20_000; i++) records.add(happening(10 + i))
      yield* TestClock.adjust(1_000)
      assert.isBelow(rows.length, 520)
      assert.strictEqual(total(), 20_100)
      const sum = rows.find(({ evidence }) => evidence["summed_up"] === true)!
      assert.deepInclude(sum, { userId: undefined, ip: undefined, ruleId: 3 })
      away = true
      for (let i = 0; i < 50; i++) records.add(happening(50_000 + i))
      yield* TestClock.adjust(5_000)
      assert.strictEqual(total(), 20_100)
      away = false
      yield* TestClock.adjust(1_000)
      assert.strictEqual(total(), 20_150)
    }),
  )
})
