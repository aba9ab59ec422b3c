/**
 * Says whether an audit trail is what was written: rows against their seals, seals against the signed heads. Pure; what
 * it looks at comes in pages, since a trail may be long.
 *
 * What it can't see: a row that was deleted before the sealer met it (about a second), and a recomputed chain whose
 * every row is younger than the last signed head (at most an hour).
 */
import { atMs, genesis, link as linkOf, type StoredRow } from "./AuditChain.ts"
import { type AuditHead, fingerprint, type HeadLine, isGenuine } from "./AuditHead.ts"

export type FindingKind =
  /** A row doesn't fit its seal, or the seal doesn't fit the one before it. */
  | "row_changed"
  /** A seal's row is gone. */
  | "row_deleted"
  /** Links of the chain are gone. */
  | "seal_deleted"
  /** A row has no seal and should have: it was written behind the sealer's back, or the sealer doesn't run. */
  | "row_unsealed"
  /** A row says a time that the chain had left behind when the row came. */
  | "row_backdated"
  /** The chain was computed anew: it isn't the one that was signed. */
  | "chain_recomputed"
  /** The chain is shorter than it was when it was signed. */
  | "chain_cut"
  /** A line of the head file isn't a head, or wasn't signed by a trusted key. */
  | "head_forged"
  /** Lines of the head file are gone, or the hourly head wasn't written. */
  | "head_missing"
  /** The trail's tables aren't there. */
  | "table_missing"

export interface Finding {
  readonly kind: FindingKind
  readonly service: string
  /** For a person. */
  readonly detail: string
}

/** A link of the chain with its row; undefined where there is none. */
export interface Link {
  readonly seq: number
  readonly audit_id: number
  readonly hash: string
  readonly row: StoredRow | undefined
}

export interface Report {
  readonly service: string
  readonly links: number
  /** Rows that the sealer hasn't met yet. */
  readonly waiting: number
  readonly heads: number
  readonly lastHeadAtMs: number | undefined
  /** The first `MAX_FINDINGS`. */
  readonly findings: ReadonlyArray<Finding>
  /** All of them. */
  readonly found: number
}

/** Findings kept of each service. */
export const MAX_FINDINGS = 100

/** How late a row may come into the chain: the longest transaction, and clocks that were set back a little. */
export const LATE_MS = 15 * 60_000

/** Between two heads, ms. */
export const HEAD_EVERY_MS = 3_600_000

/** How far the trail may be ahead of its last head, or of its seals, while the sealer has trouble. */
const OVERDUE_MS = 2 * HEAD_EVERY_MS

/** A trusted head, and its line in the file. */
export interface CheckedHead extends AuditHead {
  readonly line: number
}

/** The heads of a file that are what a trusted key signed, in order, and what is wrong with the others. */
export const checkHeads = (
  lines: ReadonlyArray<HeadLine>,
  trusted: ReadonlySet<string>,
): { readonly heads: ReadonlyArray<CheckedHead>; readonly findings: ReadonlyArray<Finding> } => {
  const heads: Array<CheckedHead> = []
  const findings: Array<Finding> = []
  const last = new Map<string, { readonly text: string; readonly head: AuditHead }>()
  for (const { number, text, head } of lines) {
    const found = (kind: FindingKind, detail: string) =>
      findings.push({ kind, service: head?.service ?? "", detail: `head file, line ${number}: ${detail}` })
    if (head === undefined) {
      found("head_forged", "not a head")
      continue
    }
    const before = last.get(head.service)
    last.set(head.service, { text, head })
    if (!trusted.has(head.key)) found("head_forged", `signed by ${head.key}, which isn't trusted`)
    else if (!isGenuine(head)) found("head_forged", "its signature is wrong")
    else {
      heads.push({ ...head, line: number })
      if (head.previous !== (before === undefined ? "" : fingerprint(before.text))) {
        found("head_missing", "the line before it was taken out or changed")
      } else if (before !== undefined && head.seq < before.head.seq) {
        found("chain_cut", `${head.seq} links, ${before.head.seq} before it`)
      }
    }
  }
  return { heads, findings }
}

const time = (ms: number): string => new Date(ms).toISOString()

export interface Verifier {
  /** The next link, in order of `seq`. */
  readonly link: (link: Link) => void
  /** A row without a seal; after all links. */
  readonly loose: (row: StoredRow) => void
  readonly end: () => Report
}

/** Begins a service's verification. `heads` are its checked ones; `floorId` is the sealer's. */
export const begin = (options: {
  readonly service: string
  readonly heads: ReadonlyArray<CheckedHead>
  readonly floorId: number
}): Verifier => {
  const { service, heads, floorId } = options
  const findings: Array<Finding> = []
  let found = 0
  const report = (kind: FindingKind, detail: string): void => {
    found++
    if (findings.length < MAX_FINDINGS) findings.push({ kind, service, detail })
  }

  let seq = 0
  let hash = genesis(service)
  let firstMs: number | undefined
  let newestMs = Number.NEGATIVE_INFINITY
  let links = 0
  let waiting = 0
  const waitingSinceMs: Array<number> = []
  let next = 0
  /** The last head that the chain has passed. */
  let passedMs = Number.NEGATIVE_INFINITY
  const lastHead = heads.at(-1)

  /** Heads that speak of the link at hand. */
  const compare = (): void => {
    for (let head = heads[next]; head !== undefined && head.seq <= seq; head = heads[++next]) {
      if (head.seq === seq && head.hash !== hash) {
        report(
          "chain_recomputed",
          `link ${seq} isn't the one that was signed at ${time(head.at_ms)} (head file, line ${head.line})`,
        )
      }
      passedMs = Math.max(passedMs, head.at_ms)
    }
  }
  compare()

  return {
    link: (link) => {
      links++
      const follows = link.seq === seq + 1
      if (!follows) report("seal_deleted", `links ${seq + 1} to ${link.seq - 1} are gone`)
      if (link.row === undefined) {
        report("row_deleted", `row ${link.audit_id} (link ${link.seq}) is gone`)
      } else {
        if (follows && linkOf(hash, link.seq, link.row) !== link.hash) {
          report("row_changed", `row ${link.audit_id} doesn't fit its link ${link.seq}`)
        }
        const ms = atMs(link.row)
        if (ms < Math.max(newestMs, passedMs) - LATE_MS) {
          report(
            "row_backdated",
            `row ${link.audit_id} says ${time(ms)}, but came after ${time(Math.max(newestMs, passedMs))}`,
          )
        }
        firstMs ??= ms
        newestMs = Math.max(newestMs, ms)
      }
      seq = link.seq
      hash = link.hash
      compare()
    },
    loose: (row) => {
      const ms = atMs(row)
      const known = Math.max(newestMs, lastHead?.at_ms ?? Number.NEGATIVE_INFINITY)
      if (row.id <= floorId || ms < known - LATE_MS) {
        report("row_unsealed", `row ${row.id} (${row.action}) came in behind the chain's back`)
      } else {
        waiting++
        // The oldest and the newest are enough to tell whether the sealer keeps up.
        waitingSinceMs[waitingSinceMs.length < 2 ? waitingSinceMs.length : 1] = ms
      }
    },
    end: () => {
      for (const head of heads.slice(next)) {
        report(
          "chain_cut",
          `${head.seq} links were signed at ${time(head.at_ms)} (head file, line ${head.line}), there are ${seq}`,
        )
      }
      const signedMs = lastHead?.at_ms ?? firstMs
      if (signedMs !== undefined && newestMs - signedMs > OVERDUE_MS) {
        report(
          "head_missing",
          `the chain goes to ${time(newestMs)}, and was last signed at ${time(signedMs)}`,
        )
      }
      const [oldest = 0, newest = oldest] = waitingSinceMs
      if (newest - oldest > OVERDUE_MS) {
        report("row_unsealed", `${waiting} rows wait for the sealer, the first since ${time(oldest)}`)
      }
      return { service, links, waiting, heads: heads.length, lastHeadAtMs: lastHead?.at_ms, findings, found }
    },
  }
}

/** All at once. */
export const verify = (options: {
  readonly service: string
  readonly lines: ReadonlyArray<HeadLine>
  readonly trusted: ReadonlySet<string>
  readonly floorId: number
  readonly links: Iterable<Link>
  readonly loose: Iterable<StoredRow>
}): ReadonlyArray<Finding> => {
  const checked = checkHeads(options.lines, options.trusted)
  const verifier = begin({
    service: options.service,
    heads: checked.heads.filter(({ service }) => service === options.service),
    floorId: options.floorId,
  })
  for (const link of options.links) verifier.link(link)
  for (const row of options.loose) verifier.loose(row)
  return [...checked.findings, ...verifier.end().findings]
}
