/**
 * What was decided, on its way to the database: gathered here, equal decisions about the same people as one, and written
 * in batches. A flood can't fill the table: beyond {@link ROWS_A_SECOND} one record stands for all the others of its rule.
 * Nothing here ever waits; what an outage of the database kept back is told afterwards, summed up.
 */
import type { Decision, RiskRoute } from "@floodgate/contracts/http/Risk"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import { RiskStore } from "./RiskStore.ts"

/** How often (ms) is written. */
export const FLUSH_MS = 1_000
/** Records about single people, an edge, kept up for long; for a short while {@link BURST}. */
const ROWS_A_SECOND = 20
const BURST = 500
/** Different decisions gathered between two writes; beyond that they are summed up. */
const MAX_GATHERED = 2_000
/** How long (ms) an equal decision is part of a record that was written. */
const SAME_MS = 10_000
/** Kept for this long. */
export const KEEP_DAYS = 14
const PURGE_EVERY_MS = 600_000
const PURGE_PAGE = 5_000
const PURGE_PAGES = 20

export interface Happening {
  readonly userId: number | undefined
  readonly ip: string | undefined
  readonly deviceKey: string | undefined
  readonly route: RiskRoute
  readonly ruleId: number | undefined
  readonly decision: Decision
  readonly code: number | undefined
  readonly evidence: Readonly<Record<string, unknown>>
}

export class RiskRecords extends Context.Tag("@floodgate/edge/risk/RiskRecords")<
  RiskRecords,
  {
    readonly add: (happening: Happening) => void
    /** Writes what is gathered now. */
    readonly flush: Effect.Effect<void>
  }
>() {}

interface Gathered {
  readonly happening: Happening
  times: number
}

export const make = Effect.gen(function* () {
  const store = yield* RiskStore
  const clock = yield* Effect.clock
  let gathered = new Map<string, Gathered>()
  /** Sums of what there was no room for. */
  let sums = new Map<string, Gathered>()
  /** What was written lately, and when that is long enough ago to be written again. */
  const lately = new Map<string, number>()
  let allowance = BURST
  let refilledMs = clock.unsafeCurrentTimeMillis()
  let failing = false

  const sumUp = (happening: Happening, times: number): void => {
    const key = `${happening.route} ${happening.ruleId} ${happening.decision} ${happening.code}`
    const sum = sums.get(key)
    if (sum !== undefined) sum.times += times
    else {
      const evidence = { ...happening.evidence, summed_up: true }
      sums.set(key, {
        happening: { ...happening, userId: undefined, ip: undefined, deviceKey: undefined, evidence },
        times,
      })
    }
  }

  const add = (happening: Happening): void => {
    const { code, decision, deviceKey, ip, route, ruleId, userId } = happening
    const key = `${route} ${ruleId} ${decision} ${code} ${userId} ${ip} ${deviceKey}`
    const known = gathered.get(key)
    if (known !== undefined) known.times++
    else if (gathered.size < MAX_GATHERED) gathered.set(key, { happening, times: 1 })
    else sumUp(happening, 1)
  }

  const take = (): ReadonlyArray<Gathered> => {
    const nowMs = clock.unsafeCurrentTimeMillis()
    allowance = Math.min(BURST, allowance + ((nowMs - refilledMs) / 1_000) * ROWS_A_SECOND)
    refilledMs = nowMs
    for (const [key, untilMs] of lately) if (untilMs <= nowMs) lately.delete(key)
    const rows: Array<Gathered> = []
    const waiting = new Map<string, Gathered>()
    for (const [key, entry] of gathered) {
      // Said a moment ago: how often it was repeated can wait.
      if (lately.has(key)) waiting.set(key, entry)
      else if (allowance >= 1) {
        allowance--
        lately.set(key, nowMs + SAME_MS)
        rows.push(entry)
      } else sumUp(entry.happening, entry.times)
    }
    gathered = waiting
    const all = [...rows, ...sums.values()]
    sums = new Map()
    return all
  }

  const write = (rows: ReadonlyArray<Gathered>) =>
    store.insertRecords(
      rows.map(({ happening, times }) => ({ ...happening, evidence: { ...happening.evidence, times } })),
    )

  const flush = Effect.suspend(() => {
    const rows = take()
    if (rows.length === 0) return Effect.void
    return write(rows).pipe(
      Effect.tap(() => {
        failing = false
      }),
      Effect.catchAllCause((cause) => {
        // Not lost: told with the next ones, as a sum.
        for (const { happening, times } of rows) sumUp(happening, times)
        if (Cause.isInterruptedOnly(cause) || failing) return Effect.void
        failing = true
        return Effect.logWarning("risk decisions can't be written; they are summed up until they can", cause)
      }),
      Effect.withTracerEnabled(false),
    )
  })

  const purge = store.purgeRecords(KEEP_DAYS, PURGE_PAGE).pipe(
    Effect.repeat({ while: (deleted) => deleted === PURGE_PAGE, times: PURGE_PAGES }),
    Effect.catchAll(() => Effect.void),
    Effect.withTracerEnabled(false),
  )

  // What is gathered when the edge stops is told, too.
  yield* Effect.addFinalizer(() => flush)
  yield* Effect.forkScoped(Effect.repeat(flush, Schedule.spaced(FLUSH_MS)))
  yield* Effect.forkScoped(Effect.repeat(purge, Schedule.jittered(Schedule.spaced(PURGE_EVERY_MS))))

  return RiskRecords.of({ add, flush })
})

export const layer = Layer.scoped(RiskRecords, make)
