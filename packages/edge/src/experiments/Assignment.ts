/**
 * Who is in an experiment, and in which of its variants: by hash alone, so that every edge, every process and every day
 * answers the same without asking anybody.
 *
 * Two hashes of (salt, key, user), independent of one another: the first puts a user into one of 10,000 buckets, and
 * those below the percentage are in; the second picks the variant by weight. So a growing percentage keeps everybody who
 * was in, each in their variant, and the same user's luck differs from one experiment to the next.
 */
import { stableHash } from "@floodgate/runtime/event-bus/StableHash"

/** A hundredth of a percent each. */
export const BUCKETS = 10_000

const WORDS = 2 ** 32

export interface Definition {
  readonly key: string
  readonly salt: string
  /** 0 to 100, in percent; two decimals count. */
  readonly percentage: number
  /** In, whatever their bucket. */
  readonly allowUsers: ReadonlyArray<number>
  readonly variants: ReadonlyArray<{ readonly weight: number }>
}

/** A definition made ready: assigning a user is two hashes of two words. */
export interface Population {
  readonly bucketSeed: number
  readonly variantSeed: number
  /** Buckets below this one are in. */
  readonly threshold: number
  readonly allowed: ReadonlySet<number>
  /** The variants' weights, summed up. */
  readonly upTo: ReadonlyArray<number>
}

const mixed = (hash: number, word: number): number => {
  let k = Math.imul(word, 0xcc9e2d51)
  k = Math.imul((k << 15) | (k >>> 17), 0x1b873593)
  const h = hash ^ k
  return (Math.imul((h << 13) | (h >>> 19), 5) + 0xe6546b64) | 0
}

/** Murmur3 (x86, 32 bit) of the user id as eight bytes, little endian. */
const hashOf = (seed: number, userId: number): number => {
  let h = mixed(mixed(seed, userId | 0), Math.floor(userId / WORDS)) ^ 8
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}

/** `hash` spread over `count` places, 0 to count − 1. */
const placeOf = (hash: number, count: number): number => Math.floor((hash / WORDS) * count)

export const compile = ({ allowUsers, key, percentage, salt, variants }: Definition): Population => {
  let sum = 0
  return {
    bucketSeed: stableHash(`bucket\0${salt}\0${key}`),
    variantSeed: stableHash(`variant\0${salt}\0${key}`),
    threshold: Math.round((percentage * BUCKETS) / 100),
    allowed: new Set(allowUsers),
    upTo: variants.map(({ weight }) => (sum += weight)),
  }
}

/** A user's bucket, 0 to 9,999. */
export const bucketOf = ({ bucketSeed }: Population, userId: number): number =>
  placeOf(hashOf(bucketSeed, userId), BUCKETS)

/** The index of a user's variant; -1 for who isn't in. */
export const variantOf = (population: Population, userId: number): number => {
  const { allowed, threshold, upTo, variantSeed } = population
  if (bucketOf(population, userId) >= threshold && !allowed.has(userId)) return -1
  const sum = upTo[upTo.length - 1] ?? 0
  if (sum === 0) return -1
  const at = placeOf(hashOf(variantSeed, userId), sum)
  let variant = 0
  while (upTo[variant]! <= at) variant++
  return variant
}
