/**
 * Which key signs, and which are published. A key waits until every verifier has had time to fetch it, signs until the
 * next one does, and stays published for as long as a token that it signed can live. All times are Unix ms of the
 * database's clock, so that every instance agrees.
 */

export interface RingKey {
  readonly kid: string
  /** It signs from here on, until the next key does. */
  readonly signsFromMs: number
}

export interface Overlap {
  /** How long a new key is published before it signs. */
  readonly aheadMs: number
  /** How long a key stays published after it has stopped signing. */
  readonly keepMs: number
}

/** An access token lives 15 min; the rest is for clocks that disagree and answers on their way. */
export const OVERLAP: Overlap = { aheadMs: 60_000, keepMs: 15 * 60_000 + 60_000 }

/** In the order in which they sign. */
const inOrder = <K extends RingKey>(keys: ReadonlyArray<K>): ReadonlyArray<K> =>
  [...keys].sort((a, b) => a.signsFromMs - b.signsFromMs)

/** The key that signs now: the newest that may; where none may yet, the oldest, since nobody knows an older one. */
export const signer = <K extends RingKey>(keys: ReadonlyArray<K>, nowMs: number): K | undefined => {
  const ordered = inOrder(keys)
  return ordered.findLast(({ signsFromMs }) => signsFromMs <= nowMs) ?? ordered[0]
}

/** The newest key, where it doesn't sign yet. */
export const waiting = <K extends RingKey>(keys: ReadonlyArray<K>, nowMs: number): K | undefined => {
  const newest = inOrder(keys).at(-1)
  return newest !== undefined && newest.signsFromMs > nowMs ? newest : undefined
}

/** Keys that verify nothing any more: nobody can still hold a token of theirs. */
export const outlived = <K extends RingKey>(
  keys: ReadonlyArray<K>,
  nowMs: number,
  keepMs: number,
): ReadonlyArray<K> => {
  const ordered = inOrder(keys)
  return ordered.filter((_, at) => {
    const next = ordered[at + 1]
    return next !== undefined && next.signsFromMs + keepMs <= nowMs
  })
}

/** The keys to publish. */
export const published = <K extends RingKey>(
  keys: ReadonlyArray<K>,
  nowMs: number,
  keepMs: number,
): ReadonlyArray<K> => {
  const gone = new Set(outlived(keys, nowMs, keepMs))
  return inOrder(keys).filter((key) => !gone.has(key))
}
