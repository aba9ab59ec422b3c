/**
 * Bounds the requests in hand by class of route, so that a slow export or a crowd at the login can't take what the others
 * need. What doesn't fit waits a moment in a bounded line; what doesn't fit there is told at once.
 */
import { Busy } from "@floodgate/contracts/errors/Errors"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as BulkheadMetrics from "./BulkheadMetrics.ts"
import * as Degradation from "./Degradation.ts"

/** A moment of one class. */
export interface BulkheadStatus {
  readonly in_hand: number
  readonly waiting: number
  /** Since the start. */
  readonly refused: number
}

export class Bulkheads extends Context.Tag("@floodgate/edge/degrade/Bulkheads")<
  Bulkheads,
  {
    /** Runs an effect when it is its class's turn; Busy where the line is full, or the turn doesn't come in time. */
    readonly within: (
      routeClass: Degradation.RouteClass,
    ) => <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E | Busy, R>
    /** Every class. Synchronous, for gauges. */
    readonly states: () => Readonly<Record<string, BulkheadStatus>>
  }
>() {}

const busy = new Busy({ retry_after_ms: Degradation.WAIT_MS })

/** One class's bound. */
class Bulkhead {
  readonly #bound: Degradation.Bound
  readonly #line = new Set<() => void>()
  #inHand = 0
  #refused = 0

  constructor(bound: Degradation.Bound) {
    this.#bound = bound
  }

  /** Not to be interrupted: the wait is short, and a place that nobody takes would be lost. */
  readonly take: Effect.Effect<void, Busy> = Effect.async((resume) => {
    if (this.#inHand < this.#bound.atOnce) {
      this.#inHand++
      resume(Effect.void)
    } else if (this.#line.size >= this.#bound.waiting) {
      this.#refused++
      resume(busy)
    } else {
      const turn = () => {
        clearTimeout(timer)
        resume(Effect.void)
      }
      const timer = setTimeout(() => {
        this.#line.delete(turn)
        this.#refused++
        resume(busy)
      }, Degradation.WAIT_MS)
      this.#line.add(turn)
    }
  })

  readonly giveBack: Effect.Effect<void> = Effect.sync(() => {
    // Who waits longest gets the place itself.
    for (const turn of this.#line) {
      this.#line.delete(turn)
      turn()
      return
    }
    this.#inHand--
  })

  get status(): BulkheadStatus {
    return { in_hand: this.#inHand, waiting: this.#line.size, refused: this.#refused }
  }
}

/** The service over a table of bounds. */
export const make = (table: typeof Degradation.bounds): Bulkheads["Type"] => {
  const bulkheads = new Map(Object.entries(table).map(([name, bound]) => [name, new Bulkhead(bound)]))
  return {
    within: (routeClass) => (self) => {
      const bulkhead = bulkheads.get(routeClass)
      return bulkhead === undefined
        ? self
        : Effect.acquireUseRelease(
            bulkhead.take,
            () => self,
            () => bulkhead.giveBack,
          )
    },
    states: () => Object.fromEntries([...bulkheads].map(([name, { status }]) => [name, status])),
  }
}

export const layer = Layer.scoped(
  Bulkheads,
  Effect.tap(
    Effect.sync(() => make(Degradation.bounds)),
    BulkheadMetrics.observe,
  ),
)
