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
/** Things counted of each sort; twice as many at most. */
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

/** {@link Counters.member}'s answer where only Redis knows. */
export const ASK = Symbol("ask")

export class Counters extends Context.Tag("@floodgate/edge/risk/Counters")<
  Counters,
  {
    /** Counts a hit where there is room for it. */
    readonly hit: (key: string, windowMs: number, max: number) => Seen
    /** Counts a member where there is room for it, without waiting. */
    readonly member: (key: string, member: string, windowMs: number) => Seen | typeof ASK
    /** As `member`, asking Redis; calls back once, within 100 ms. Must not throw. */
    readonly askMember: (
      key: string,
      member: string,
      windowMs: number,
      max: number,
      done: (seen: Seen) => void,
    ) => void
    /** What is known here of a thing's members; counts nothing. */
    readonly countOf: (key: string) => number
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
  /** Until when (ms) each needn't be told again. */
  readonly known: Map<string, number>
  /** When each was last here. */
  readonly here: Map<string, number>
  readonly refused: Map<string, number>
  /** Members on all edges, as last heard. */
  count: number
  told: boolean
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
    const hits = new Generations<string, Hits>(KEYS)
    const members = new Generations<string, Members>(KEYS)
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

    const tell = (key: string, entry: Hits, windowMs: number): void => {
      const { untold } = entry
      entry.asking = true
      entry.untold = 0
      later(store.hits(key, untold, windowMs), (total) => {
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

    const hit = (key: string, windowMs: number, max: number): Seen => {
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

    const membersOf = (key: string): Members => {
      let entry = members.get(key)
      if (entry === undefined) {
        entry = { known: new Map(), here: new Map(), refused: new Map(), count: 0, told: false }
        members.set(key, entry)
      }
      return entry
    }

    /** By what this edge has seen itself. */
    const decide = (entry: Members, member: string, windowMs: number, max: number): Seen => {
      const now = nowMs()
      for (const [other, atMs] of entry.here) if (atMs <= now - windowMs) entry.here.delete(other)
      if (!entry.here.has(member) && entry.here.size >= max) {
        const oldestMs = Math.min(...entry.here.values())
        return { count: entry.here.size, waitMs: Math.max(1, Math.ceil(oldestMs + windowMs - now)) }
      }
      entry.here.set(member, now)
      return { count: entry.here.size, waitMs: 0 }
    }

    const settle = (entry: Members, member: string, windowMs: number, seen: Seen): void => {
      const now = nowMs()
      entry.count = seen.count
      if (seen.waitMs > 0) {
        entry.known.delete(member)
        entry.here.delete(member)
        if (entry.refused.size >= MAX_ASKS) entry.refused.clear()
        entry.refused.set(member, now + Math.min(seen.waitMs, REFUSED_MS))
      } else {
        entry.refused.delete(member)
        if (entry.known.size >= MAX_MEMBERS) {
          entry.known.clear()
          entry.here.clear()
        }
        entry.known.set(member, now + windowMs * TELL_AGAIN)
        entry.here.set(member, now)
      }
    }

    const askMember: Counters["Type"]["askMember"] = (key, member, windowMs, max, done) => {
      const entry = membersOf(key)
      if (!entry.told) {
        entry.told = true
        // The one that was let in without a question.
        for (const first of entry.known.keys()) {
          if (first === member) continue
          later(store.members(key, first, windowMs, max), (seen) => {
            if (seen !== undefined) settle(entry, first, windowMs, seen)
          })
        }
      }
      later(store.members(key, member, windowMs, max), (answer) => {
        const seen = answer ?? decide(entry, member, windowMs, max)
        settle(entry, member, windowMs, seen)
        done(seen)
      })
    }

    return Counters.of({
      hit,
      askMember,
      member: (key, member, windowMs) => {
        const now = nowMs()
        const entry = membersOf(key)
        const knownUntilMs = entry.known.get(member)
        if (knownUntilMs !== undefined) {
          if (knownUntilMs > now) return { count: Math.max(1, entry.count), waitMs: 0 }
          if (!entry.told) {
            // Still the only one.
            entry.known.set(member, now + windowMs * TELL_AGAIN)
            entry.here.set(member, now)
            return { count: 1, waitMs: 0 }
          }
          return ASK
        }
        if (entry.known.size === 0 && entry.refused.size === 0 && !entry.told) {
          entry.known.set(member, now + windowMs * TELL_AGAIN)
          entry.here.set(member, now)
          entry.count = 1
          return { count: 1, waitMs: 0 }
        }
        const refusedUntilMs = entry.refused.get(member)
        return refusedUntilMs !== undefined && refusedUntilMs > now
          ? { count: entry.count, waitMs: Math.ceil(refusedUntilMs - now) }
          : ASK
      },
      countOf: (key) => members.get(key)?.count ?? 0,
    })
  })

export const layer = Layer.scoped(Counters, make())
