/**
 * Counters within sliding windows, for rules that are asked for every click: nearly always a lookup here.
 *
 * - Hits are counted here and told to the other edges at most {@link TELL_MS} late, so a request never waits for them.
 *   What gets through too much is what the other edges count in that time.
 * - Members (the accounts of a device…) are asked for one by one, but for the first that this edge sees with a thing: a
 *   person with one account, one device and one address costs no round trip. What gets through too much is one an edge.
 *
 * While Redis can't be asked, each edge goes by what it has seen itself.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Layer from "effect/Layer"
import { Generations } from "../limits/Generations.ts"
import * as SlidingWindow from "./SlidingWindow.ts"
import { type Seen, WindowStore } from "./WindowStore.ts"

/** How late (ms) other edges hear of hits. */
export const TELL_MS = 200
/** Things that a counter remembers of each sort; twice as many at most. */
const KEYS = 20_000
/** Members of one thing that are remembered here; the most that a rule can count to. */
const MAX_MEMBERS = 10_000
/** After Redis has failed, it isn't asked for this long (ms). */
const AWAY_MS = 500
/** Questions under way; beyond that this edge goes by what it has seen itself. */
const MAX_ASKS = 4_096
/** A member that was let in is told again after this part of its window, so that it stays one while it is here. */
const TELL_AGAIN = 0.25
/** How long (ms) a refusal is believed without asking. */
const REFUSED_MS = 1_000

const ALONE: Seen = { count: 1, waitMs: 0 }

/** {@link Counter.member}'s answer where only Redis knows. */
export const ASK = Symbol("ask")

/** What is counted, and whose it is: an account's number, a device's key, an address. */
export type Key = string | number

/** The counters of one rule or limit, each with its own window. */
export interface Counter {
  /** Counts a hit where there is room for it. */
  readonly hit: (key: Key, windowMs: number, max: number) => Seen
  /** Counts a member where there is room for it, without waiting. */
  readonly member: (key: Key, member: Key, windowMs: number) => Seen | typeof ASK
  /** As `member`, asking Redis; calls back once, within 100 ms. Must not throw. */
  readonly askMember: (
    key: Key,
    member: Key,
    windowMs: number,
    max: number,
    done: (seen: Seen) => void,
  ) => void
  /** What is known here of a thing's members; counts nothing. */
  readonly countOf: (key: Key) => number
}

export class Counters extends Context.Tag("@floodgate/edge/risk/Counters")<
  Counters,
  {
    /**
     * What is counted under this name. Edges share it by the name; within one edge each call makes a counter that begins
     * with nothing, so it is kept by whoever counts. A name of its own in place of a prefix of each key: nobody puts
     * texts together for every click.
     */
    readonly of: (name: string) => Counter
  }
>() {}

interface Hits {
  own: SlidingWindow.State
  /** What other edges had counted, when that was last heard of. */
  others: number
  heardMs: number
  untold: number
  asking: boolean
}

interface Members {
  /** The one member that was let in without a question, while it is the only one; then undefined. */
  only: Key | undefined
  onlySeenMs: number
  /** What there is to know once there are more. */
  many: Many | undefined
}

interface Many {
  /** Until when (ms) each needn't be told again. */
  readonly known: Map<Key, number>
  /** When each was last here. */
  readonly here: Map<Key, number>
  readonly refused: Map<Key, number>
  /** Members on all edges, as last heard. */
  count: number
}

export interface Options {
  /** A clock that never goes back, ms. */
  readonly nowMs?: () => number
}

export const make = (options: Options = {}) =>
  Effect.gen(function* () {
    const store = yield* WindowStore
    const run = yield* FiberSet.makeRuntime<never>()
    const nowMs = options.nowMs ?? (() => performance.now())
    let awayUntilMs = 0
    let failing = false
    let asks = 0
    let queue: Array<Effect.Effect<void>> = []

    const flush = (): void => {
      const batch = queue
      queue = []
      // In one turn of the event loop, so in one write to Redis.
      run(Effect.forEach(batch, (ask) => ask, { concurrency: "unbounded", discard: true }))
    }

    /** Asks in the background; `undefined` where Redis can't answer. */
    const later = <A>(question: Effect.Effect<A, unknown>, done: (answer: A | undefined) => void): void => {
      if (asks >= MAX_ASKS || awayUntilMs > nowMs()) {
        done(undefined)
        return
      }
      asks++
      if (queue.length === 0) setImmediate(flush)
      queue.push(
        Effect.matchCauseEffect(question, {
          onSuccess: (answer) =>
            Effect.suspend(() => {
              asks--
              done(answer)
              if (!failing) return Effect.void
              failing = false
              return Effect.logInfo("risk counters are shared with the other edges again")
            }),
          onFailure: (cause) =>
            Effect.suspend(() => {
              asks--
              awayUntilMs = nowMs() + AWAY_MS
              done(undefined)
              // Once a streak: it is tried twice a second.
              if (failing) return Effect.void
              failing = true
              return Effect.logWarning("risk counters can't be shared; this edge goes by its own", cause)
            }),
        }),
      )
    }

    /** By what this edge has seen itself. */
    const decide = (many: Many, member: Key, windowMs: number, max: number): Seen => {
      const now = nowMs()
      for (const [other, atMs] of many.here) if (atMs <= now - windowMs) many.here.delete(other)
      if (!many.here.has(member) && many.here.size >= max) {
        const oldestMs = Math.min(...many.here.values())
        return { count: many.here.size, waitMs: Math.max(1, Math.ceil(oldestMs + windowMs - now)) }
      }
      many.here.set(member, now)
      return { count: many.here.size, waitMs: 0 }
    }

    const settle = (many: Many, member: Key, windowMs: number, seen: Seen): void => {
      const now = nowMs()
      many.count = seen.count
      if (seen.waitMs > 0) {
        many.known.delete(member)
        many.here.delete(member)
        if (many.refused.size >= MAX_ASKS) many.refused.clear()
        many.refused.set(member, now + Math.min(seen.waitMs, REFUSED_MS))
      } else {
        many.refused.delete(member)
        if (many.known.size >= MAX_MEMBERS) {
          many.known.clear()
          many.here.clear()
        }
        many.known.set(member, now + windowMs * TELL_AGAIN)
        many.here.set(member, now)
      }
    }

    const of = (name: string): Counter => {
      const hits = new Generations<Key, Hits>(KEYS)
      const members = new Generations<Key, Members>(KEYS)

      const tell = (key: Key, entry: Hits, windowMs: number): void => {
        const { untold } = entry
        entry.asking = true
        entry.untold = 0
        later(store.hits(`${name}:${key}`, untold, windowMs), (total) => {
          entry.asking = false
          const now = nowMs()
          entry.heardMs = now
          if (total === undefined) entry.untold += untold
          else {
            const told = SlidingWindow.count(entry.own, now, windowMs) - entry.untold
            entry.others = Math.max(0, total - told)
          }
        })
      }

      const hit = (key: Key, windowMs: number, max: number): Seen => {
        const now = nowMs()
        let entry = hits.get(key)
        if (entry === undefined) {
          entry = {
            own: SlidingWindow.empty,
            others: 0,
            heardMs: Number.NEGATIVE_INFINITY,
            untold: 0,
            asking: false,
          }
          hits.set(key, entry)
        }
        // What others counted then leaves the window as time goes on.
        const others = entry.others * Math.max(0, 1 - (now - entry.heardMs) / windowMs)
        const own = SlidingWindow.count(entry.own, now, windowMs)
        const due = !entry.asking && now - entry.heardMs >= TELL_MS
        if (own + others >= max) {
          // Others' hits leave the window unseen, if they aren't looked for.
          if (due) tell(key, entry, windowMs)
          const room = Math.max(1, max - others)
          const waitMs = Math.max(1, SlidingWindow.waitMs(entry.own, now, windowMs, room))
          return { count: Math.round(own + others), waitMs: Math.ceil(waitMs) }
        }
        entry.own = SlidingWindow.add(entry.own, now, windowMs, 1)
        entry.untold++
        if (due) tell(key, entry, windowMs)
        return { count: Math.round(own + others) + 1, waitMs: 0 }
      }

      const askMember: Counter["askMember"] = (key, member, windowMs, max, done) => {
        let entry = members.get(key)
        if (entry === undefined) {
          entry = { only: undefined, onlySeenMs: 0, many: undefined }
          members.set(key, entry)
        }
        const shared = `${name}:${key}`
        let { many } = entry
        if (many === undefined) {
          many = { known: new Map(), here: new Map(), refused: new Map(), count: 0 }
          entry.many = many
          const { only, onlySeenMs } = entry
          entry.only = undefined
          if (only !== undefined && onlySeenMs > nowMs() - windowMs) {
            const first = many
            first.known.set(only, Number.POSITIVE_INFINITY)
            first.here.set(only, onlySeenMs)
            later(store.members(shared, String(only), windowMs, max), (seen) => {
              settle(first, only, windowMs, seen ?? { count: 1, waitMs: 0 })
            })
          }
        }
        const all = many
        later(store.members(shared, String(member), windowMs, max), (answer) => {
          const seen = answer ?? decide(all, member, windowMs, max)
          settle(all, member, windowMs, seen)
          done(seen)
        })
      }

      return {
        hit,
        askMember,
        member: (key, member, windowMs) => {
          const now = nowMs()
          const entry = members.get(key)
          if (entry === undefined) {
            members.set(key, { only: member, onlySeenMs: now, many: undefined })
            return ALONE
          }
          const { many } = entry
          if (many === undefined) {
            // Still the only one, or the first again.
            if (entry.only !== member && entry.onlySeenMs > now - windowMs) return ASK
            entry.only = member
            entry.onlySeenMs = now
            return ALONE
          }
          const knownUntilMs = many.known.get(member)
          if (knownUntilMs !== undefined && knownUntilMs > now) {
            return { count: Math.max(1, many.count), waitMs: 0 }
          }
          const refusedUntilMs = many.refused.get(member)
          return refusedUntilMs !== undefined && refusedUntilMs > now
            ? { count: many.count, waitMs: Math.ceil(refusedUntilMs - now) }
            : ASK
        },
        countOf: (key) => {
          const entry = members.get(key)
          return entry === undefined ? 0 : (entry.many?.count ?? 1)
        },
      }
    }

    return Counters.of({ of })
  })

export const layer = Layer.scoped(Counters, make())
