/**
 * What this edge has seen of people in experiments and not yet written: a row a person, bounded, written each second.
 * What was told once isn't told again, so a buyer who clicks twenty times is written once.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { Generations } from "../limits/Generations.ts"
import type { PeopleStore, Sighting } from "./PeopleStore.ts"

export const FLUSH_MS = 1_000
/** People that wait to be written, at most; what is seen of more of them is lost, and the log says so. */
export const MAX_PENDING = 20_000
/** People of one experiment that an edge remembers to have told of; twice as many at most. */
const REMEMBERED = 50_000

export interface Sightings {
  /** Notes that something became of somebody: a lookup where it is known already. */
  readonly note: (experimentId: number, variant: number, userId: number, seen: number) => void
  /** Writes what waits; never fails, what couldn't be written waits on. */
  readonly flush: Effect.Effect<void>
  /** Forgets what was told of experiments that no longer run. */
  readonly keep: (experimentIds: ReadonlySet<number>) => void
}

/** Writes each second while the scope is open, and once more when it closes. */
export const make = (store: PeopleStore["Type"]) =>
  Effect.gen(function* () {
    const told = new Map<number, Generations<number, number>>()
    let pending = new Map<number, Map<number, { readonly variant: number; seen: number }>>()
    let size = 0
    let lost = 0
    let failing = false
    const one = yield* Effect.makeSemaphore(1)

    /** False where there is no room. */
    const put = ({ experimentId, seen, userId, variant }: Sighting): boolean => {
      let people = pending.get(experimentId)
      if (people === undefined) {
        people = new Map()
        pending.set(experimentId, people)
      }
      const waiting = people.get(userId)
      if (waiting !== undefined) waiting.seen |= seen
      else if (size >= MAX_PENDING) {
        lost++
        return false
      } else {
        people.set(userId, { variant, seen })
        size++
      }
      return true
    }

    const take = (): Array<Sighting> => {
      const taken = pending
      pending = new Map()
      size = 0
      return [...taken].flatMap(([experimentId, people]) =>
        [...people].map(([userId, { seen, variant }]) => ({ experimentId, userId, variant, seen })),
      )
    }

    const flush = Effect.suspend(() => {
      if (size === 0) return Effect.void
      const batch = take()
      return store.add(batch).pipe(
        Effect.tap(() => {
          failing = false
        }),
        Effect.catchAllCause((cause) => {
          // Whatever of it was written, writing it again changes nothing.
          for (const sighting of batch) put(sighting)
          if (Cause.isInterruptedOnly(cause)) return Effect.failCause(cause as Cause.Cause<never>)
          if (failing) return Effect.void
          failing = true
          return Effect.logWarning("what became of people in experiments can't be written; it waits", cause)
        }),
      )
    }).pipe(
      Effect.zipRight(
        Effect.suspend(() => {
          const missed = lost
          lost = 0
          return missed === 0
            ? Effect.void
            : Effect.logWarning(`${missed} sightings of people in experiments were lost: too many wait`)
        }),
      ),
      one.withPermits(1),
      Effect.withTracerEnabled(false),
    )

    yield* Effect.addFinalizer(() => Effect.timeoutOption(flush, FLUSH_MS))
    yield* Effect.forkScoped(Effect.repeat(flush, Schedule.spaced(FLUSH_MS)))

    const sightings: Sightings = {
      note: (experimentId, variant, userId, seen) => {
        let people = told.get(experimentId)
        if (people === undefined) {
          people = new Generations(REMEMBERED)
          told.set(experimentId, people)
        }
        const known = people.get(userId) ?? 0
        if ((known & seen) === seen) return
        if (put({ experimentId, variant, userId, seen })) people.set(userId, known | seen)
      },
      flush,
      keep: (experimentIds) => {
        for (const id of told.keys()) if (!experimentIds.has(id)) told.delete(id)
      },
    }
    return sightings
  })
