/**
 * How long each kind of outside call may take, in one table. A call without a name here has no deadline, and isn't
 * allowed to exist.
 */
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import type * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Instrument from "../metrics/Instrument.ts"
import * as Bounded from "./Bounded.ts"

/** The deadlines in ms. An outer call's is longer than those of the calls it makes, so that the inner error is told. */
export const defaults = {
  "mysql.query": 2_000,
  "mysql.transaction": 5_000,
  "mysql.connect": 3_000,
  "redis.command": 500,
  "redis.reserve": 800,
  "redis.connect": 3_000,
  "grpc.unary": 3_000,
  "grpc.reserve": 1_200,
  "bus.publish": 5_000,
  "bus.connect": 10_000,
  "provider.call": 5_000,
} as const satisfies Record<string, number>

/** The kinds of outside calls. */
export type DeadlineName = keyof typeof defaults

/** Calls that took longer than they may; counted by `within`, and by the engines that keep their deadlines themselves. */
export const exceeded = Instrument.counter(
  "floodgate_deadline_exceeded_total",
  "Calls that were given up because their deadline had passed, by kind of call",
  { op: Object.keys(defaults) as ReadonlyArray<DeadlineName> },
)

/** The deadline of every kind, in ms. */
export type DeadlineTable = Readonly<Record<DeadlineName, number>>

/**
 * A call took longer than its deadline. The caller has moved on; what it asked for may still happen, so the outcome of
 * a write is unknown.
 */
export class DeadlineExceeded extends Data.TaggedError("DeadlineExceeded")<{
  readonly op: DeadlineName
  readonly deadline_ms: number
}> {
  override get message(): string {
    return `${this.op} took longer than ${this.deadline_ms} ms`
  }
}

/** The deadlines of this process. */
export class Deadlines extends Context.Tag("@floodgate/runtime/resilience/Deadlines")<
  Deadlines,
  {
    /** The deadline of `op`, in ms. */
    readonly ms: (op: DeadlineName) => number
    /**
     * Bounds an effect by the deadline of `op`, as `Bounded.failAfter` does: it holds for work that can't be
     * interrupted, and for a caller inside an uninterruptible region.
     */
    readonly within: (
      op: DeadlineName,
    ) => <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E | DeadlineExceeded, R>
  }
>() {
  /** The deadlines of `defaults`. */
  static readonly layer: Layer.Layer<Deadlines> = Layer.sync(Deadlines, () => make(defaults))

  /**
   * Four times the real deadlines: on a busy test machine a slow scheduler isn't what a test is about. A test of a
   * deadline itself uses `layerOf`.
   */
  static readonly layerTest: Layer.Layer<Deadlines> = Layer.sync(Deadlines, () =>
    make(Object.fromEntries(Object.entries(defaults).map(([op, ms]) => [op, ms * 4])) as DeadlineTable),
  )

  /** The real deadlines, but for those given (ms). */
  static readonly layerOf = (overrides: Partial<DeadlineTable>): Layer.Layer<Deadlines> =>
    Layer.sync(Deadlines, () => make({ ...defaults, ...overrides }))
}

/** The service over a table of deadlines (ms). */
export const make = (table: DeadlineTable): Context.Tag.Service<Deadlines> => ({
  ms: (op) => table[op],
  within: (op) =>
    Bounded.failAfter(table[op], () => {
      exceeded.inc({ op })
      return new DeadlineExceeded({ op, deadline_ms: table[op] })
    }),
})

/** `Deadlines.layer`. */
export const layer: Layer.Layer<Deadlines> = Deadlines.layer

/** `Deadlines.layerTest`. */
export const layerTest: Layer.Layer<Deadlines> = Deadlines.layerTest
