/**
 * Whether a request is within its limits: a lookup here for nearly all, a question to Redis for the few whose block of
 * tokens is used up. See LimitTable for what that costs in exactness.
 */
import { catalogue } from "@floodgate/contracts/errors/Catalogue"
import { RateLimited } from "@floodgate/contracts/errors/Errors"
import type { LimitName } from "@floodgate/contracts/http/AdminLimit"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Layer from "effect/Layer"
import type { Language } from "../http/Language.ts"
import * as Reply from "../http/Reply.ts"
import * as Bucket from "./Bucket.ts"
import { BucketStore } from "./BucketStore.ts"
import { Generations } from "./Generations.ts"
import * as LimitMetrics from "./LimitMetrics.ts"
import { LimitSettings } from "./LimitSettings.ts"
import { table } from "./LimitTable.ts"

/** Keys of one limit that an edge remembers; twice as many at most. */
const KEYS = 50_000
/** Requests that may wait for an answer about one key; more are refused. */
const MAX_WAITING = 4_096
/** A key whose bucket is empty is asked for no sooner than this (ms), however fast it fills. */
const MIN_PAUSE_MS = 10
/** After Redis has failed, it isn't asked for this long (ms): nobody else waits for a time-out. */
const AWAY_MS = 500

/** {@link Limiter.take}'s answer where only Redis knows. */
export const ASK = -1

export interface Left {
  readonly name: LimitName
  /** Whole requests that would be let through now. */
  readonly remaining: number
  /** When all of them are back (ms from now). */
  readonly resetInMs: number
}

type Key = string | number

export class Limiter extends Context.Tag("@floodgate/edge/limits/Limiter")<
  Limiter,
  {
    /**
     * Takes a token without waiting: 0 where it is let through, else after how many ms it may try again, or {@link ASK}
     * where {@link wait} must find out (nothing is taken then).
     */
    readonly take: (name: LimitName, key: Key) => number
    /** Takes a token, asking Redis; calls back once, within 100 ms, with 0 or the ms to wait. Must not throw. */
    readonly wait: (name: LimitName, key: Key, done: (waitMs: number) => void) => void
    /** Whether this key is known to be refused now; takes nothing. */
    readonly isRefused: (name: LimitName, key: Key) => boolean
    /** Gives a taken token back: what was charged in advance turned out not to count. */
    readonly giveBack: (name: LimitName, key: Key) => void
    /** `take`, and `wait` where needed, for the handlers of limits that are answered by 429. */
    readonly check: (name: LimitName, key: Key) => Effect.Effect<void, RateLimited>
    /** What is left of a limit for a key: by Redis, and by this edge where that can't be asked. */
    readonly left: (name: LimitName, key: Key) => Effect.Effect<Left>
  }
>() {}

/** The refusal of a limit as an answer, without the detour by a schema: a flood is refused by the thousand. */
export const reply = (name: LimitName, waitMs: number, language: Language): Reply.Reply =>
  Reply.ofRow(catalogue[table[name].refusal], { retry_after_ms: waitMs }, language)

/** What this edge knows of one key. */
interface Entry {
  readonly name: LimitName
  readonly key: Key
  readonly rate: Bucket.Rate
  /** Tokens of one lease; 0: each is asked for. */
  readonly block: number
  /** In this long (ms) a bucket fills: what is known here of one that was unused since is void. */
  readonly lifeMs: number
  /** When it was last used; while nobody has been asked about it, when its credit began. */
  knownMs: number
  /** Tokens at hand. */
  tokens: number
  /** How many of them are on credit. */
  credit: number
  /** Used on credit (or given back), and not yet told. */
  spent: number
  /** Before this there is nothing to be had. */
  refusedUntilMs: number
  asking: boolean
  /** Whether Redis has ever been asked about it. */
  asked: boolean
  waiting: Array<(waitMs: number) => void>
  /** This edge's own bucket, while Redis can't be asked. */
  own: Bucket.State | undefined
}

export interface Options {
  /** A clock that never goes back, ms. */
  readonly nowMs?: () => number
}

export const make = (options: Options = {}) =>
  Effect.gen(function* () {
    const store = yield* BucketStore
    const settings = yield* LimitSettings
    const run = yield* FiberSet.makeRuntime<never>()
    const nowMs = options.nowMs ?? (() => performance.now())
    const names = Object.keys(table) as ReadonlyArray<LimitName>
    const known = Object.fromEntries(
      names.map((name) => [name, new Generations<Key, Entry>(KEYS)]),
    ) as Record<LimitName, Generations<Key, Entry>>
    let epoch = settings.epoch()
    let awayUntilMs = 0
    let failing = false
    let asks: Array<Entry> = []

    const entryOf = (name: LimitName, key: Key, now: number): Entry => {
      if (epoch !== settings.epoch()) {
        epoch = settings.epoch()
        for (const each of names) known[each].clear()
      }
      const entries = known[name]
      const found = entries.get(key)
      if (found !== undefined) {
        if (found.asking || now - found.knownMs <= found.lifeMs) {
          // Whoever makes do with the credit gets it anew each time the bucket could have filled: nobody is asked about
          // people who click now and then.
          if (found.asked) found.knownMs = now
          return found
        }
      }
      const rate = settings.rateOf(name, key)
      const { blocks } = table[name]
      const block = blocks === 0 ? 0 : Math.ceil(rate.burst / blocks)
      const entry: Entry = {
        name,
        key,
        rate,
        block,
        lifeMs: (rate.burst / rate.rate) * 1_000,
        knownMs: now,
        tokens: block,
        credit: block,
        spent: 0,
        refusedUntilMs: 0,
        asking: false,
        asked: false,
        waiting: [],
        own: undefined,
      }
      entries.set(key, entry)
      return entry
    }

    const use = (entry: Entry): void => {
      LimitMetrics.passed[entry.name](1)
      entry.tokens--
      if (entry.credit > 0) {
        entry.credit--
        entry.spent++
      }
    }

    const settle = (entry: Entry, lease: Bucket.Lease): void => {
      const now = nowMs()
      entry.tokens += lease.leased
      let served = 0
      while (served < entry.waiting.length && entry.tokens > 0) {
        use(entry)
        entry.waiting[served++]!(0)
      }
      const rest = entry.waiting.splice(0).slice(served)
      if (lease.waitMs > 0) {
        entry.refusedUntilMs = now + (entry.block === 0 ? lease.waitMs : Math.max(lease.waitMs, MIN_PAUSE_MS))
        LimitMetrics.refused[entry.name](rest.length)
        for (const done of rest) done(lease.waitMs)
      } else if (rest.length > 0) {
        entry.waiting = rest
        ask(entry)
      }
    }

    /** Decides by this edge's own bucket. */
    const decide = (entry: Entry, spent: number, wanted: number): void => {
      const now = nowMs()
      const [own, lease] = Bucket.lease(entry.own ?? Bucket.full(now), entry.rate, now, spent, wanted)
      entry.own = own
      settle(entry, lease)
    }

    const draw = (entry: Entry): Effect.Effect<void> => {
      const { key, name, rate, spent } = entry
      const wanted = Math.min(rate.burst, Math.max(entry.block, entry.waiting.length))
      entry.spent = 0
      return store.draw({ key: `${name}:${key}`, rate, spent, wanted, shared: table[name].shared }).pipe(
        Effect.matchCauseEffect({
          onSuccess: (lease) =>
            Effect.suspend(() => {
              entry.asking = false
              entry.own = undefined
              settle(entry, lease)
              if (!failing) return Effect.void
              failing = false
              LimitMetrics.alone(0)
              return Effect.logInfo("limits are shared with the other edges again")
            }),
          onFailure: (cause) =>
            Effect.suspend(() => {
              entry.asking = false
              awayUntilMs = nowMs() + AWAY_MS
              decide(entry, spent, wanted)
              // Once a streak: it is tried twice a second.
              if (failing) return Effect.void
              failing = true
              LimitMetrics.alone(1)
              return Effect.logWarning("limits can't be shared; this edge keeps buckets of its own", cause)
            }),
        }),
      )
    }

    const flush = (): void => {
      const batch = asks
      asks = []
      // In one turn of the event loop, so in one write to Redis.
      run(Effect.forEach(batch, draw, { concurrency: "unbounded", discard: true }))
    }

    const ask = (entry: Entry): void => {
      if (entry.asking) return
      if (!entry.asked) {
        entry.asked = true
        entry.knownMs = nowMs()
      }
      if (awayUntilMs > nowMs()) {
        const { spent } = entry
        entry.spent = 0
        decide(entry, spent, Math.min(entry.rate.burst, Math.max(entry.block, entry.waiting.length)))
        return
      }
      entry.asking = true
      if (asks.length === 0) setImmediate(flush)
      asks.push(entry)
    }

    const take = (name: LimitName, key: Key): number => {
      const now = nowMs()
      const entry = entryOf(name, key, now)
      if (entry.tokens > 0) {
        use(entry)
        // In good time, so that the next one needn't wait.
        if (entry.tokens <= entry.block >> 2 && !entry.asking && entry.refusedUntilMs <= now) ask(entry)
        return 0
      }
      if (entry.refusedUntilMs <= now) return ASK
      LimitMetrics.refused[name](1)
      return Math.ceil(entry.refusedUntilMs - now)
    }

    const wait = (name: LimitName, key: Key, done: (waitMs: number) => void): void => {
      const taken = take(name, key)
      const entry = entryOf(name, key, nowMs())
      if (taken !== ASK) done(taken)
      else if (entry.waiting.length >= MAX_WAITING) {
        LimitMetrics.refused[name](1)
        done(MIN_PAUSE_MS)
      } else {
        entry.waiting.push(done)
        ask(entry)
      }
    }

    const check = (name: LimitName, key: Key): Effect.Effect<void, RateLimited> =>
      Effect.async((resume) => {
        wait(name, key, (waitMs) =>
          resume(waitMs === 0 ? Effect.void : new RateLimited({ retry_after_ms: waitMs })),
        )
      })

    return Limiter.of({
      take,
      wait,
      check,
      isRefused: (name, key) => {
        const entry = known[name].get(key)
        return entry !== undefined && entry.tokens === 0 && entry.refusedUntilMs > nowMs()
      },
      giveBack: (name, key) => {
        const entry = entryOf(name, key, nowMs())
        entry.spent--
        entry.refusedUntilMs = 0
        ask(entry)
      },
      left: (name, key) =>
        Effect.suspend(() => {
          const entry = entryOf(name, key, nowMs())
          const { block, own, rate, spent } = entry
          const about = (lease: Bucket.Lease): Left => {
            const atHand = entry.tokens - entry.credit
            return {
              name,
              remaining: Math.max(0, Math.min(rate.burst, lease.left + atHand - spent)),
              resetInMs: Math.ceil(Math.max(0, lease.fullMs + ((spent - atHand) / rate.rate) * 1_000)),
            }
          }
          const here = () => about(Bucket.lease(own ?? Bucket.full(nowMs()), rate, nowMs(), 0, 0)[1])
          // Nothing of it can be elsewhere but what was spent on credit.
          if (awayUntilMs > nowMs()) return Effect.succeed(here())
          return store.draw({ key: `${name}:${key}`, rate, spent: 0, wanted: 0, shared: false }).pipe(
            Effect.map(about),
            Effect.catchAll(() => Effect.succeed(here())),
            Effect.withSpan("Limiter.left", { attributes: { limit: name, block } }),
          )
        }),
    })
  })

export const layer = Layer.scoped(Limiter, make())
