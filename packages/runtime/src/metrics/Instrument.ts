/**
 * The kinds of figures that a process shows, on Effect's own metrics. A family is a name with bounded labels; each of
 * its series exists from its definition on, so a rate over it is right from the first scrape, and a query for
 * something that hasn't happened yet answers zero instead of nothing.
 *
 * Updating is a plain function: a map look-up and an addition, cheap enough for the path of a reservation.
 */
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as MetricBoundaries from "effect/MetricBoundaries"
import * as MetricKey from "effect/MetricKey"
import type * as MetricKeyType from "effect/MetricKeyType"
import * as MetricLabel from "effect/MetricLabel"
import type * as MetricState from "effect/MetricState"
import type * as Scope from "effect/Scope"

/** Values of a label that aren't known when its family is defined. See `declared` and `met`. */
export class Late {
  readonly max: number
  constructor(max: number) {
    this.max = max
  }
}

/** A label whose values are told by `declare`, when the process starts. Any other value is counted as `other`. */
export const declared: Late = new Late(0)

/** The same without `other`: for what describes the process. A value that wasn't declared is a mistake. */
export const told: Late = new Late(-1)

/**
 * A label whose values come with the code that counts them (the names of statements and commands): each is a series
 * from its first use on, at most so many, and then `other`. Never for what comes from outside the process.
 */
export const met = (max: number): Late => new Late(max)

/**
 * The values that each label may take. A value outside its list is counted as `other`, which must then be listed; a
 * label with `Late` values has `other` in any case (but `told`), so that the family is shown, at zero, from the start.
 */
export type Labels = Readonly<Record<string, ReadonlyArray<string> | Late>>

/** One value for each label. */
export type Values<L extends Labels> = {
  readonly [K in keyof L]: L[K] extends ReadonlyArray<infer V extends string> ? V : string
}

/** Values that a family's late labels take from now on, and perhaps only some of those of the others. */
export type Declaration<L extends Labels> = {
  readonly [K in keyof L]?: ReadonlyArray<Values<L>[K]>
}

/** What a family is, for the catalogue. */
export interface Definition {
  readonly name: string
  readonly type: "counter" | "gauge" | "histogram"
  readonly help: string
  /** The values of each label; undefined where they come later. */
  readonly labels: Readonly<Record<string, ReadonlyArray<string> | undefined>>
}

/** More series than this in one family is a mistake of the one who defined it. */
const MAX_SERIES = 4_000

const OTHER = "other"

interface One {
  readonly update: (input: number) => void
  readonly value: () => unknown
}

/** One series as it stands now. */
export interface Reading {
  readonly labels: Readonly<Record<string, string>>
  /** Of a counter its count, of a gauge its level, of a histogram how many were observed. */
  readonly value: number
  /** Of a histogram: how many lay at or below each upper end. */
  readonly buckets: ReadonlyArray<readonly [upperEnd: number, count: number]>
}

interface Series {
  /** The series of these values. Throws where a value is neither listed nor `other` can stand for it. */
  readonly at: (values: Readonly<Record<string, string>>) => One
  /** All series as they stand. */
  readonly all: () => ReadonlyArray<Reading>
  readonly declare: (values: Readonly<Record<string, ReadonlyArray<string> | undefined>>) => void
}

const NAME = /^floodgate_[a-z0-9]+(_[a-z0-9]+)*$/

const defined = new Map<string, Definition>()
const families = new Map<string, Series>()

/** Every series of a family as it stands, for what this process itself makes of its figures. None of an unknown name. */
export const read = (name: string): ReadonlyArray<Reading> => families.get(name)?.all() ?? []

const readingOf = (labels: Reading["labels"], state: unknown): Reading => {
  const known = state as {
    readonly count?: number
    readonly value?: number
    readonly buckets?: Iterable<readonly [number, number]>
  }
  return { labels, value: known.count ?? known.value ?? 0, buckets: [...(known.buckets ?? [])] }
}

/** The families of this process so far, by name. */
export const definitions = (): ReadonlyArray<Definition> =>
  [...defined.values()].sort((one, other) => (one.name < other.name ? -1 : 1))

/** Every combination of the labels' values, in the order of the labels. */
const combinations = (labels: ReadonlyArray<ReadonlyArray<string>>): ReadonlyArray<ReadonlyArray<string>> =>
  labels.reduce<ReadonlyArray<ReadonlyArray<string>>>(
    (rows, values) => rows.flatMap((row) => values.map((value) => [...row, value])),
    [[]],
  )

const family = <Type extends MetricKeyType.MetricKeyType<number, any>>(
  definition: Omit<Definition, "labels">,
  labels: Labels,
  key: MetricKey.MetricKey<Type>,
): Series => {
  const { name } = definition
  if (!NAME.test(name)) throw new Error(`${name} isn't a name of a Floodgate metric`)
  // Two definitions would share their series unknowingly.
  if (defined.has(name)) throw new Error(`the metric ${name} is defined twice`)
  const names = Object.keys(labels)
  const known = names.map((label) => {
    const values = labels[label]
    return {
      values: new Set(values instanceof Late ? (values.max < 0 ? [] : [OTHER]) : values),
      late: values instanceof Late,
      max: values instanceof Late ? values.max : 0,
    }
  })
  const size = known.reduce((product, { values }) => product * values.size, 1)
  if (size > MAX_SERIES) throw new Error(`${name} would have ${size} series`)
  defined.set(name, {
    ...definition,
    labels: Object.fromEntries(
      names.map((label) => {
        const values = labels[label]
        return [label, values instanceof Late ? undefined : values]
      }),
    ),
  })

  const series = new Map<string, One>()
  /** What isn't declared and was turned into `other`, so that it costs one look-up the next time, too. */
  const aliases = new Map<string, One>()

  const add = (row: ReadonlyArray<string>): One => {
    const joined = row.join("\u0000")
    const before = series.get(joined)
    if (before !== undefined) return before
    const tags = names.map((label, index) => MetricLabel.make(label, row[index]!))
    // By its own key, not by `Metric.taggedWithLabels`: that would search for the series at every update.
    const metric = Metric.fromMetricKey(MetricKey.taggedWithLabels(key, tags))
    metric.register()
    const one: One = {
      update: (input) => metric.unsafeUpdate(input as never, []),
      value: () => metric.unsafeValue([]),
    }
    series.set(joined, one)
    return one
  }

  for (const row of combinations(known.map(({ values }) => [...values]))) add(row)

  /** The series of a row that isn't there (yet). */
  const resolve = (row: ReadonlyArray<string>): One => {
    let full = series.size >= MAX_SERIES
    const resolved = row.map((value, index) => {
      const label = known[index]!
      if (label.values.has(value)) return value
      // One for `other` itself.
      if (!full && label.values.size <= label.max) {
        label.values.add(value)
        return value
      }
      full ||= label.late
      return OTHER
    })
    const last = full ? resolved.map((value, index) => (known[index]!.late ? OTHER : value)) : resolved
    if (last.some((value, index) => !known[index]!.values.has(value))) {
      throw new Error(`${name} has no series ${JSON.stringify(row)}`)
    }
    const one = add(last)
    if (aliases.size < MAX_SERIES) aliases.set(row.join("\u0000"), one)
    return one
  }

  const rowOf = (values: Readonly<Record<string, string>>): ReadonlyArray<string> =>
    names.map((label) => values[label] ?? "")

  const made: Series = {
    at: (values) => {
      const row = rowOf(values)
      const joined = row.length === 1 ? row[0]! : row.join("\u0000")
      return series.get(joined) ?? aliases.get(joined) ?? resolve(row)
    },
    declare: (values) => {
      const rows = combinations(names.map((label, index) => values[label] ?? [...known[index]!.values]))
      if (series.size + rows.length > MAX_SERIES) {
        throw new Error(`${name} would have over ${series.size + rows.length} series`)
      }
      names.forEach((label, index) => {
        const { late, values: all } = known[index]!
        for (const value of values[label] ?? []) {
          if (late) all.add(value)
          else if (!all.has(value)) throw new Error(`${value} is no value of ${label} of ${name}`)
        }
      })
      for (const row of rows) add(row)
      aliases.clear()
    },
    all: () =>
      [...series].map(([joined, one]) => {
        const values = joined.split("\u0000")
        return readingOf(
          Object.fromEntries(names.map((label, index) => [label, values[index]!])),
          one.value(),
        )
      }),
  }
  families.set(name, made)
  return made
}

/** What all kinds have. */
interface Family<L extends Labels> {
  readonly name: string
  /**
   * Makes the series of these values now, at zero. A late label takes the values given (and `other` where none are); of
   * the other labels, all values that aren't left out.
   */
  readonly declare: (values: Declaration<L>) => void
  /** One series, looked up once: for a path on which even that is too much. */
  readonly at: (values: Values<L>) => (input: number) => void
}

const shared = (name: string, series: Series) => ({
  name,
  declare: (values: Readonly<Record<string, ReadonlyArray<string> | undefined>>) => series.declare(values),
  at: (values: Readonly<Record<string, string>>) => series.at(values).update,
})

/** Something that happened, counted. */
export interface Counter<L extends Labels> extends Family<L> {
  readonly inc: (values: Values<L>, by?: number) => void
  /** Brings it up to a count that is kept elsewhere since the start; never down. */
  readonly reach: (values: Values<L>, total: number) => void
}

/** `name` ends in `_total`, by Prometheus' convention. */
export const counter = <const L extends Labels>(name: string, help: string, labels: L): Counter<L> => {
  if (!name.endsWith("_total")) throw new Error(`the counter ${name} must end in _total`)
  const key = MetricKey.counter(name, { description: help, incremental: true })
  const series = family({ name, help, type: "counter" }, labels, key)
  return {
    ...shared(name, series),
    inc: (values, by = 1) => series.at(values).update(by),
    reach: (values, total) => {
      const one = series.at(values)
      one.update(total - (one.value() as MetricState.MetricState.Counter<number>).count)
    },
  }
}

/** A level: how much of something there is now. */
export interface Gauge<L extends Labels> extends Family<L> {
  readonly set: (values: Values<L>, level: number) => void
}

/** A level that is told when it changes. For one that is read when it is asked for, see `observe`. */
export const gauge = <const L extends Labels>(name: string, help: string, labels: L): Gauge<L> => {
  const series = family({ name, help, type: "gauge" }, labels, MetricKey.gauge(name, { description: help }))
  return { ...shared(name, series), set: (values, level) => series.at(values).update(level) }
}

/** How long, or how large, as a distribution. */
export interface Histogram<L extends Labels> extends Family<L> {
  readonly observe: (values: Values<L>, value: number) => void
}

/** Of a request's time (s): fine where a sale's answers lie, up to the longest deadline. */
export const SECONDS: ReadonlyArray<number> = [
  0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.8, 1, 2.5, 5, 10,
]

/** The same, coarser: for families with a series for each of many names. */
export const COARSE_SECONDS: ReadonlyArray<number> = [0.001, 0.005, 0.02, 0.1, 0.25, 0.5, 1, 2.5, 5]

/** `boundaries` are the upper ends of the buckets, ascending, in the unit that the name ends in. */
export const histogram = <const L extends Labels>(
  name: string,
  help: string,
  labels: L,
  boundaries: ReadonlyArray<number> = SECONDS,
): Histogram<L> => {
  const key = MetricKey.histogram(name, MetricBoundaries.fromIterable(boundaries), help)
  const series = family({ name, help, type: "histogram" }, labels, key)
  return { ...shared(name, series), observe: (values, value) => series.at(values).update(value) }
}

const observers = new Set<() => void>()

/**
 * Runs `read` before each scrape: it sets gauges from what is kept elsewhere anyway. It must be quick and can't wait;
 * what has to be asked for (a consumer's lag) is sampled by a fiber of its own. Returns what takes it away again.
 */
export const observe = (read: () => void): (() => void) => {
  observers.add(read)
  return () => observers.delete(read)
}

/** `observe`, until the scope closes. */
export const observing = (read: () => void): Effect.Effect<void, never, Scope.Scope> =>
  Effect.asVoid(
    Effect.acquireRelease(
      Effect.sync(() => observe(read)),
      (forget) => Effect.sync(forget),
    ),
  )

/** Runs all observers; one that throws doesn't keep the others from being read. Returns the errors. */
export const readAll = (): ReadonlyArray<unknown> => {
  const errors: Array<unknown> = []
  for (const read of observers) {
    try {
      read()
    } catch (error) {
      errors.push(error)
    }
  }
  return errors
}
