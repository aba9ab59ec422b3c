import { assert, describe, it } from "@effect/vitest"
import { key, partitionOf, SHARDS, shardOf, tagOf } from "./Shards.ts"

const shards = Array.from({ length: SHARDS }, (_, shard) => shard)

/** CRC16/XMODEM mod 16384, as the Redis Cluster specification defines a hash tag's slot. */
const slotOf = (tag: string): number => {
  let crc = 0
  for (const byte of Buffer.from(tag)) {
    crc ^= byte << 8
    for (let bit = 0; bit < 8; bit++)
      crc = crc & 0x8000 ? ((crc << 1) ^ 0x1021) & 0xffff : (crc << 1) & 0xffff
  }
  return crc % 16_384
}

/** The first slot of each of `n` servers, as `redis-cli --cluster create` deals them out. */
const firstSlots = (n: number): ReadonlyArray<number> => {
  const firsts = [0]
  let cursor = 0
  for (let i = 0; i < n - 1; i++) {
    firsts.push(Math.round(cursor + 16_384 / n - 1) + 1)
    cursor += 16_384 / n
  }
  return firsts
}

describe("Shards", () => {
  it("computes slots as Redis does", () => {
    assert.strictEqual(slotOf("123456789"), 0x31c3 % 16_384)
  })

  it("every shard has a tag of its own", () => {
    assert.strictEqual(new Set(shards.map(tagOf)).size, SHARDS)
    assert.strictEqual(key(0, "stream"), `{${tagOf(0)}}:stream`)
    assert.throws(() => tagOf(SHARDS))
    assert.throws(() => tagOf(-1))
  })

  for (const servers of [3, 6, 12, 24]) {
    it(`the shards lie evenly over ${servers} servers`, () => {
      const firsts = firstSlots(servers)
      const counts = new Array<number>(servers).fill(0)
      for (const shard of shards) {
        const slot = slotOf(tagOf(shard))
        counts[firsts.findLastIndex((first) => first <= slot)]! += 1
      }
      assert.isAtMost(Math.max(...counts) - Math.min(...counts), 1)
    })
  }

  it("the tags never change: stored keys rest on them", () => {
    const sum = shards.reduce((total, shard) => total + (shard + 1) * slotOf(tagOf(shard)), 0)
    assert.strictEqual(sum, 275_202_906)
  })

  it("products published one after another come to different shards, servers and partitions", () => {
    for (const first of [1, 1000, 123_456_789]) {
      const three = [0, 1, 2].map((i) => shardOf(first + i))
      assert.strictEqual(new Set(three).size, 3)
      assert.strictEqual(new Set(three.map((shard) => partitionOf(shard, 16))).size, 3)
    }
    const thirds = shards.slice(0, 255).map((shard) => Math.floor((slotOf(tagOf(shard)) * 3) / 16_384))
    for (let i = 0; i + 1 < thirds.length; i++) assert.notStrictEqual(thirds[i], thirds[i + 1])
    assert.throws(() => shardOf(1.5))
    assert.throws(() => shardOf(-1))
  })
})
