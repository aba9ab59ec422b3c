/**
 * Which access tokens are good no longer, by their users. Bounded twice: an entry is forgotten when every token that it
 * is about has expired, and when there are too many, the oldest are folded into one line for all users, before which
 * no token is good: that costs some clients a refresh, and never lets a revoked token in.
 */

export interface Entry {
  readonly userId: number
  /** Tokens issued before (Unix ms) are revoked. */
  readonly notBeforeMs: number
  /** Every token is refused, whenever it was issued. */
  readonly banned: boolean
  /** When the ban ends by itself (Unix ms); undefined: when another entry says so. */
  readonly banUntilMs: number | undefined
}

export type Verdict = "revoked" | "banned"

interface Held extends Entry {
  readonly heardMs: number
}

/** The life of an access token with a minute to spare, counted from when we heard: that is never too early. */
export const KEEP_MS = 16 * 60_000

const MAX_USERS = 500_000

export class RevocationList {
  // In the order in which they were heard.
  private readonly users = new Map<number, Held>()
  private floorMs = 0
  private readonly capacity: number

  constructor(capacity: number = MAX_USERS) {
    this.capacity = capacity
  }

  /** Takes the newest word on a user. What was said of earlier tokens holds on. */
  add(entry: Entry, nowMs: number): void {
    const before = this.users.get(entry.userId)
    const notBeforeMs = Math.max(entry.notBeforeMs, before?.notBeforeMs ?? 0)
    this.users.delete(entry.userId)
    this.users.set(entry.userId, { ...entry, notBeforeMs, heardMs: nowMs })
    if (this.users.size > this.capacity) this.fold()
  }

  /** What speaks against a token of this user, issued at `issuedMs`; undefined: nothing. */
  check(userId: number, issuedMs: number, nowMs: number): Verdict | undefined {
    const held = this.users.get(userId)
    if (held !== undefined) {
      if (held.banned && (held.banUntilMs === undefined || nowMs < held.banUntilMs)) return "banned"
      if (issuedMs < held.notBeforeMs) return "revoked"
    }
    return issuedMs < this.floorMs ? "revoked" : undefined
  }

  /** Forgets what concerns no live token any more. */
  prune(nowMs: number): void {
    for (const [userId, held] of this.users) {
      if (held.heardMs + KEEP_MS > nowMs) return
      this.users.delete(userId)
    }
  }

  get size(): number {
    return this.users.size
  }

  private fold(): void {
    let left = Math.ceil(this.capacity / 2)
    for (const [userId, held] of this.users) {
      if (left-- === 0) return
      // A banned account gets no new tokens; its old ones are older than the ban.
      this.floorMs = Math.max(this.floorMs, held.notBeforeMs)
      this.users.delete(userId)
    }
  }
}
