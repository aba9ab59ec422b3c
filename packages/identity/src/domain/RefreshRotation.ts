/**
 * What a presented refresh token leads to (RFC 9700, §4.14). Each token is good for one use; its successor takes its
 * place. A spent one that comes back is a theft, whoever holds it, unless it is the loser of two parallel refreshes:
 * then it gets the same successor, as long as nobody has used that one.
 */

/** How long a refresh token is good for, unused. */
export const LIFETIME_DAYS = 30

/** How long a spent token may come back. */
export const GRACE_MS = 10_000

/** A known token, as it is stored. Ages are counted by the database's clock. */
export interface PresentedToken {
  readonly revoked: boolean
  readonly expired: boolean
  /** How long ago it was spent; undefined where it wasn't. */
  readonly usedAgoMs: number | undefined
  /** Whether its successor was spent, too. */
  readonly successorUsed: boolean
}

export type RotationOutcome =
  /** Spend it, and hand out its successor. */
  | "rotate"
  /** Hand out the successor that it has. */
  | "repeat"
  /** Refuse it. */
  | "refuse"
  /** Refuse it, and end every session of its family. */
  | "revoke_family"

export const rotationOf = (token: PresentedToken): RotationOutcome => {
  if (token.revoked || token.expired) return "refuse"
  if (token.usedAgoMs === undefined) return "rotate"
  return token.usedAgoMs <= GRACE_MS && !token.successorUsed ? "repeat" : "revoke_family"
}
