/**
 * `pow-sha256`: a text for which SHA-256 of the nonce followed by it begins with so many zero bits. Found by counting
 * up; 2^bits tries on average.
 */
import { leadingZeroBits, sha256 } from "./sha256.ts"

export interface Work {
  readonly nonce: string
  readonly bits: number
}

/** Tries `count` numbers from `from` on; the solution as a text, undefined where none of them is one. */
export const search = ({ bits, nonce }: Work, from: number, count: number): string | undefined => {
  const encoder = new TextEncoder()
  for (let tried = from; tried < from + count; tried++) {
    const solution = String(tried)
    if (leadingZeroBits(sha256(encoder.encode(nonce + solution))) >= bits) return solution
  }
  return undefined
}
