/**
 * What the edges have counted within the last hour, by steps of ten seconds. Every two seconds an edge looks at its own
 * counters and adds what came to the figures of all; while those can't be reached it keeps its own, and tells them later.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as EdgeFigures from "./EdgeFigures.ts"
import { FigureStore, STEP_MS, type Steps } from "./FigureStore.ts"

/** Steps that are kept: those of the longest window. */
export const STEPS = 361

const EVERY_MS = 2_000

export interface Told {
  readonly steps: Steps
  /** They are this edge's alone. */
  readonly alone: boolean
}

export class Timeline extends Context.Tag("@floodgate/edge/overview/Timeline")<
  Timeline,
  {
    /** The steps from one to another, both included, at most {@link STEPS}; up to this moment as far as this edge goes. */
    readonly read: (from: number, to: number) => Effect.Effect<Told>
  }
>() {}

interface Step {
  readonly counted: EdgeFigures.Counts
  /** The part of it that the others don't know yet. */
  readonly untold: EdgeFigures.Counts
}

export const make = Effect.gen(function* () {
  const store = yield* FigureStore
  const clock = yield* Effect.clock
  const telling = yield* Effect.makeSemaphore(1)
  const own = new Map<number, Step>()
  let before = EdgeFigures.read()

  const look = (): void => {
    const now = EdgeFigures.read()
    const came = EdgeFigures.minus(now, before)
    before = now
    const step = Math.floor(clock.unsafeCurrentTimeMillis() / STEP_MS)
    if (Object.keys(came).length > 0) {
      const { counted = {}, untold = {} } = own.get(step) ?? {}
      own.set(step, { counted: EdgeFigures.plus(counted, came), untold: EdgeFigures.plus(untold, came) })
    }
    for (const old of own.keys()) if (old <= step - STEPS) own.delete(old)
  }

  const untold = (): Map<number, EdgeFigures.Counts> =>
    new Map(
      [...own]
        .filter(([, { untold }]) => Object.keys(untold).length > 0)
        .map(([step, { untold }]) => [step, untold]),
    )

  const told = (steps: Steps) => {
    for (const [step, counts] of steps) {
      const mine = own.get(step)
      if (mine !== undefined) {
        own.set(step, { counted: mine.counted, untold: EdgeFigures.minus(mine.untold, counts) })
      }
    }
  }

  // One at a time, or what is under way would be told twice.
  const tell = telling.withPermits(1)(
    Effect.suspend(() => {
      const steps = untold()
      if (steps.size === 0) return Effect.void
      return store.add(steps).pipe(
        Effect.tap(() => told(steps)),
        // Perhaps it arrived: better a count too few than one twice.
        Effect.tapErrorTag("RedisOutcomeUnknown", () => Effect.sync(() => told(steps))),
        Effect.uninterruptible,
      )
    }),
  )

  yield* Effect.sync(look).pipe(
    Effect.zipRight(tell),
    Effect.ignore,
    Effect.repeat(Schedule.spaced(EVERY_MS)),
    Effect.withTracerEnabled(false),
    Effect.forkScoped,
  )

  return Timeline.of({
    read: (from, to) =>
      Effect.gen(function* () {
        look()
        // What this edge knows is told first, so that what is read has it already.
        const shared = yield* Effect.option(Effect.zipRight(tell, store.read(from, to)))
        const alone = shared._tag === "None"
        return {
          steps: alone ? new Map([...own].map(([step, { counted }]) => [step, counted])) : shared.value,
          alone,
        }
      }),
  })
})

export const layer = Layer.scoped(Timeline, make)
