/** The arithmetic of `pow-sha256`: a text for which SHA-256 of nonce and text begins with so many zero bits. */
import { createHash } from "node:crypto"

export const KIND = "pow-sha256"

/** Where difficulty ends: a phone takes about a minute for this. */
export const MAX_BITS = 24

/** How many zero bits a digest begins with. */
export const zeroBits = (digest: Uint8Array): number => {
  let bits = 0
  for (const byte of digest) {
    if (byte !== 0) return bits + Math.clz32(byte) - 24
    bits += 8
  }
  return bits
}

/** One hash, whatever the difficulty. */
export const isSolution = (nonce: string, bits: number, solution: string): boolean =>
  zeroBits(createHash("sha256").update(nonce).update(solution).digest()) >= bits

/** Difficulty for a caller of this suspicion (0 up): each step doubles the work, as far as {@link MAX_BITS}. */
export const bitsFor = (base: number, suspicion: number): number => Math.min(MAX_BITS, base + suspicion)

/** Finds a solution by counting: what a client does. Takes 2^bits hashes, about. */
export const solve = (nonce: string, bits: number): string => {
  for (let i = 0; ; i++) if (isSolution(nonce, bits, String(i))) return String(i)
}
