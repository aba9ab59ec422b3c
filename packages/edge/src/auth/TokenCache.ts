/**
 * Tokens already verified: an RSA operation saved for every further request of the bearer. Bounded; two generations in
 * place of a list, because a rush must not pay for bookkeeping: what is used survives, the rest goes at the turn.
 */
import type { Verified } from "./AccessToken.ts"

export class TokenCache {
  private young = new Map<string, Verified>()
  private old = new Map<string, Verified>()
  private readonly half: number

  /** At most `capacity` tokens are held. */
  constructor(capacity: number) {
    this.half = Math.max(1, Math.floor(capacity / 2))
  }

  get(token: string): Verified | undefined {
    const young = this.young.get(token)
    if (young !== undefined) return young
    const old = this.old.get(token)
    if (old !== undefined) this.set(token, old)
    return old
  }

  set(token: string, verified: Verified): void {
    if (this.young.size >= this.half) {
      this.old = this.young
      this.young = new Map()
    }
    this.young.set(token, verified)
  }

  clear(): void {
    this.young = new Map()
    this.old = new Map()
  }

  get size(): number {
    return this.young.size + this.old.size
  }
}
