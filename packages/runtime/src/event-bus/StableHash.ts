/**
 * The hash that places a key: a message in its partition, an outbox row in its bucket. It must never change while rows
 * or messages are under way, since order within a key holds only while equal keys meet in one place.
 */

/** FNV-1a, 32 bit, over the UTF-8 bytes, with murmur3's finaliser so that the low bits spread too. */
export const stableHash = (key: string): number => {
  const bytes = Buffer.from(key, "utf8")
  let hash = 0x811c9dc5
  for (let index = 0; index < bytes.length; index++) {
    hash = Math.imul(hash ^ bytes[index]!, 0x01000193)
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}

/** `key`'s place among `count` (≥ 1) places, 0 … count − 1. */
export const placeOf = (key: string, count: number): number => stableHash(key) % count
