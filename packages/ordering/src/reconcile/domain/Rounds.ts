/** When a finding counts: two looks in a row have it, under the same versions. And when an open one is over. */
import { type DriftKind, type Finding, keyOf } from "./DriftKind.ts"

/** Of which differences a look would have found all there are. */
export interface Scope {
  readonly kinds: ReadonlyArray<DriftKind>
  /** Only those of this product. */
  readonly productId?: number
  /** Only those of these subjects. */
  readonly subjects?: ReadonlySet<string>
}

export interface Look {
  readonly findings: ReadonlyArray<Finding>
  readonly scopes: ReadonlyArray<Scope>
}

export const nothing: Look = { findings: [], scopes: [] }

export const merge = (looks: ReadonlyArray<Look>): Look => ({
  findings: looks.flatMap((look) => look.findings),
  scopes: looks.flatMap((look) => look.scopes),
})

/** As much of a difference as says which one it is. */
export interface Known {
  readonly kind: DriftKind
  readonly subject: string
  readonly productId?: number | undefined
}

/** Whether a look would have found this difference, were it there. */
export const covers = (scopes: ReadonlyArray<Scope>, known: Known): boolean =>
  scopes.some(
    (scope) =>
      scope.kinds.includes(known.kind) &&
      (scope.productId === undefined || scope.productId === known.productId) &&
      (scope.subjects === undefined || scope.subjects.has(known.subject)),
  )

export type Suspects = ReadonlyMap<string, Finding>

/** The most findings that wait for a second look. More than that is no matter of single differences any more. */
export const MAX_SUSPECTS = 5_000

export interface Judged {
  /** Found by both looks: a difference. */
  readonly confirmed: ReadonlyArray<Finding>
  /** For the next look. Those that this one couldn't see wait on. */
  readonly suspects: Suspects
}

/** The second look at what the first one found. */
export const judge = (before: Suspects, look: Look): Judged => {
  const suspects = new Map<string, Finding>()
  const confirmed: Array<Finding> = []
  for (const finding of look.findings) {
    const key = keyOf(finding)
    if (suspects.has(key) || suspects.size >= MAX_SUSPECTS) continue
    suspects.set(key, finding)
    const first = before.get(key)
    if (first !== undefined && first.versions === finding.versions) confirmed.push(finding)
  }
  for (const [key, finding] of before) {
    if (suspects.size >= MAX_SUSPECTS) break
    if (!suspects.has(key) && !covers(look.scopes, finding)) suspects.set(key, finding)
  }
  return { confirmed, suspects }
}

/** Open differences that a look which would have found them didn't find: they are over. */
export const over = <A extends Known>(open: ReadonlyArray<A>, look: Look): ReadonlyArray<A> => {
  const found = new Set(look.findings.map(keyOf))
  return open.filter((known) => !found.has(keyOf(known)) && covers(look.scopes, known))
}
