import { assert, describe, it } from "@effect/vitest"
import * as ServerClock from "./ServerClock.ts"

describe("ServerClock", () => {
  it("follows the server's time, and its fastest recent answer most", () => {
    let localMs = 1_000_000
    const clock = ServerClock.make(() => localMs)
    assert.strictEqual(clock.nowMs(), localMs)

    localMs += 10
    clock.learn(2_000_005, 1_000_000, 1_000_010)
    assert.strictEqual(clock.nowMs(), 2_000_010)

    // A slow answer says less than it seems to.
    localMs += 500
    clock.learn(2_000_510, 1_000_010, 1_000_510)
    assert.strictEqual(clock.nowMs(), 2_000_510)

    // After a while even a slow one says more than an old one.
    localMs += 20_000
    clock.learn(2_020_800, 1_020_500, 1_020_510)
    clock.learn(2_021_300, 1_020_510, 1_020_560)
    assert.closeTo(clock.nowMs(), 2_020_805, 5)
  })

  it("an answer without a time teaches nothing", () => {
    const clock = ServerClock.make(() => 5_000)
    clock.learn(0, 4_000, 5_000)
    assert.strictEqual(clock.nowMs(), 5_000)
  })

  it("begins where MySQL's time says that this machine's is wrong, until the sale's own is known", () => {
    const clock = ServerClock.make(
      () => 5_000_000,
      () => -600_000,
    )
    assert.strictEqual(clock.nowMs(), 4_400_000)
    clock.learn(4_400_100, 5_000_000, 5_000_000)
    assert.strictEqual(clock.nowMs(), 4_400_100)
  })
})
