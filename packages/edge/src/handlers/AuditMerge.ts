/**
 * One list out of the trails of all services, newest first. Each trail is taken in its own order; the cursor remembers
 * for each the page it stands in and the entry it gave last, so that entries which are added meanwhile, or share a
 * millisecond, are neither lost nor shown twice.
 */
import { type AuditService, auditServices } from "@floodgate/contracts/http/Audit"
import * as Effect from "effect/Effect"

/** Where a trail goes on: behind the entry `after` of the page that `token` asks for. */
export interface Position {
  readonly token: string
  /** 0: from the page's beginning. */
  readonly after: bigint
}

/** Null for a trail that has ended. */
export type Positions = Readonly<Record<AuditService, Position | null>>

/** What the merge has to know of an entry. */
export interface Entry {
  readonly id: bigint
  readonly atMs: bigint
}

export interface TrailPage<A extends Entry> {
  readonly entries: ReadonlyArray<A>
  readonly nextPageToken: string
}

export const beginning: Positions = {
  identity: { token: "", after: 0n },
  inventory: { token: "", after: 0n },
  ordering: { token: "", after: 0n },
  payment: { token: "", after: 0n },
  edge: { token: "", after: 0n },
}

/** Entries that came since the cursor was made push the known one this many pages on at most. */
const MAX_SKIPPED_PAGES = 20

const isPart = (part: unknown): part is readonly [string, string] =>
  Array.isArray(part) &&
  part.length === 2 &&
  typeof part[0] === "string" &&
  typeof part[1] === "string" &&
  /^\d{1,20}$/.test(part[1])

/** The positions that a cursor stands for; undefined where it is none of ours. */
export const parseCursor = (cursor: string): Positions | undefined => {
  let parts: unknown
  try {
    parts = JSON.parse(Buffer.from(cursor, "base64url").toString("utf8"))
  } catch {
    return undefined
  }
  if (!Array.isArray(parts) || parts.length !== auditServices.length) return undefined
  if (!parts.every((part) => part === null || isPart(part))) return undefined
  const entries = auditServices.map((service, i) => {
    const part = parts[i] as readonly [string, string] | null
    return [service, part === null ? null : { token: part[0], after: BigInt(part[1]) }]
  })
  return Object.fromEntries(entries) as Positions
}

/** The cursor of positions; null where every trail has ended. */
export const formatCursor = (positions: Positions): string | null => {
  const parts = auditServices.map((service) => {
    const position = positions[service]
    return position === null ? null : [position.token, String(position.after)]
  })
  return parts.every((part) => part === null)
    ? null
    : Buffer.from(JSON.stringify(parts)).toString("base64url")
}

interface Item<A> {
  readonly entry: A
  /** Where its trail stands once it has been given. */
  readonly behind: Position | null
}

/** At least `limit` entries of a trail behind a position, or all that are left. */
const read = <A extends Entry, E, R>(
  start: Position | null,
  limit: number,
  ask: (token: string) => Effect.Effect<TrailPage<A>, E, R>,
): Effect.Effect<ReadonlyArray<Item<A>>, E, R> =>
  Effect.gen(function* () {
    const items: Array<Item<A>> = []
    let token = start === null ? "" : start.token
    let after = start === null ? 0n : start.after
    for (let pages = 0; start !== null && pages < MAX_SKIPPED_PAGES; pages++) {
      const page = yield* ask(token)
      const found = after === 0n ? -1 : page.entries.findIndex((entry) => entry.id === after)
      if (after === 0n || found >= 0) {
        after = 0n
        page.entries.slice(found + 1).forEach((entry, i, rest) => {
          const isLast = i === rest.length - 1
          const next = page.nextPageToken === "" ? null : { token: page.nextPageToken, after: 0n }
          items.push({ entry, behind: isLast ? next : { token, after: entry.id } })
        })
      }
      if (page.nextPageToken === "" || items.length >= limit) break
      token = page.nextPageToken
    }
    return items
  })

/** The next `limit` entries of all trails, and where they go on. Fails where any trail can't be read: none is left out. */
export const take = <A extends Entry, E, R>(
  start: Positions,
  limit: number,
  ask: (service: AuditService, token: string) => Effect.Effect<TrailPage<A>, E, R>,
): Effect.Effect<
  { readonly entries: ReadonlyArray<readonly [AuditService, A]>; readonly next: Positions },
  E,
  R
> =>
  Effect.gen(function* () {
    const trails = yield* Effect.forEach(
      auditServices,
      (service) =>
        Effect.map(
          read(start[service], limit, (token) => ask(service, token)),
          (items) => ({ service, items, at: 0 }),
        ),
      { concurrency: "unbounded" },
    )
    const next: Record<AuditService, Position | null> = { ...start }
    const entries: Array<readonly [AuditService, A]> = []
    while (entries.length < limit) {
      const newest = trails
        .filter(({ at, items }) => at < items.length)
        .reduce<(typeof trails)[number] | undefined>(
          (best, trail) =>
            best === undefined || trail.items[trail.at]!.entry.atMs > best.items[best.at]!.entry.atMs
              ? trail
              : best,
          undefined,
        )
      if (newest === undefined) break
      const { behind, entry } = newest.items[newest.at++]!
      entries.push([newest.service, entry])
      next[newest.service] = behind
    }
    for (const { items, service } of trails) if (items.length === 0) next[service] = null
    return { entries, next }
  })
