/**
 * About how old an account is at most, told by its number alone: numbers rise, so an account is not older than any with a
 * lower number. Each edge learns from the sign-ins that pass through it; nobody is asked, and nothing about a person is
 * kept: only which number was given about when.
 */
import * as Context from "effect/Context"
import * as Layer from "effect/Layer"

/** Moments that are kept. */
const CAPACITY = 1_024

export class AccountAges extends Context.Tag("@floodgate/edge/risk/AccountAges")<
  AccountAges,
  {
    /** An account was made at this moment (Unix ms). */
    readonly learn: (userId: number, createdMs: number) => void
    /** The latest moment known before which the account was not there; undefined where nothing is known. */
    readonly notBeforeMs: (userId: number) => number | undefined
  }
>() {}

export const make = (): AccountAges["Type"] => {
  // Both rise together: of two accounts the one with the higher number can't be the older.
  let known: Array<readonly [userId: number, createdMs: number]> = []

  /** The first place whose number is higher. */
  const after = (userId: number): number => {
    let low = 0
    let high = known.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (known[middle]![0] <= userId) low = middle + 1
      else high = middle
    }
    return low
  }

  return {
    learn: (userId, createdMs) => {
      const at = after(userId)
      const before = known[at - 1]
      // Says nothing new, or its clock was behind.
      if (before !== undefined && (before[0] === userId || before[1] >= createdMs)) return
      known.splice(at, 0, [userId, createdMs])
      // The old end is what rules about new accounts need least.
      if (known.length > CAPACITY) known = known.slice(CAPACITY / 2)
    },
    notBeforeMs: (userId) => known[after(userId) - 1]?.[1],
  }
}

export const layer = Layer.sync(AccountAges, make)
