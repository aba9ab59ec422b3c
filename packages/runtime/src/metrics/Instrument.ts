/**
 * The kinds of figures that a process shows, on Effect's own metrics. A family is a name with bounded labels; each of
 * its series exists from its definition on, so a rate over it is right from the first scrape, and a query for
 * something that hasn't happened yet answers zero instead of nothing.
 *
 * Updating is a plain function: a map look-up and an addition, cheap enough for the path of a reservation.
 */
import * as Metric from "effect/Metric"
import * as MetricBoundaries from "effect/MetricBoundaries"
import * as MetricLabel from "effect/MetricLabel"

/** The values that each label may take. A value outside its list is counted as `other`, which must then be listed. */
export type Labels = Readonly<Record<string, ReadonlyArray<string>>>

/** One value for each label. */
export type Values<L extends Labels> = { readonly [K in keyof L]: L[K][number] }

/** More series than this in one family is a mistake of the one who defined it. */
const MAX_SERIES = 2_000

interface Series {
  /** The series of these values. Throws where a value is neither listed nor `other` can stand for it. */
  readonly at: (values: Readonly<Record<string, string>>) => (input: number) => void
}

const NAME = /^floodgate_[a-z0-9]+(_[a-z0-9]+)*$/

const definedNames = new Set<string>()

/** Every combination of the labels' values, in the order of the labels. */
const combinations = (labels: ReadonlyArray<ReadonlyArray<string>>): ReadonlyArray<ReadonlyArray<string>> =>
  labels.reduce<ReadonlyArray<ReadonlyArray<string>>>(
    (rows, values) => rows.flatMap((row) => values.map((value) => [...row, value])),
    [[]],
  )

const family = <Type, Out>(
  name: string,
  labels: Labels,
  make: () => Metric.Metric<Type, number, Out>,
): Series => {
  if (!NAME.test(name)) throw new Error(`${name} isn't a name of a Floodgate metric`)
  // Two definitions would share their series unknowingly.
  if (definedNames.has(name)) throw new Error(`the metric ${name} is defined twice`)
  definedNames.add(name)
  const keys = Object.keys(labels)
  const rows = combinations(keys.map((key) => labels[key] ?? []))
  if (rows.length > MAX_SERIES) throw new Error(`${name} would have ${rows.length} series`)
  const series = new Map<string, (input: number) => void>()
  for (const row of rows) {
    const tags = keys.map((key, index) => MetricLabel.make(key, row[index]!))
    const metric = Metric.taggedWithLabels(make(), tags)
    metric.register()
    series.set(row.join("\u0000"), (input) => metric.unsafeUpdate(input, []))
  }
  return {
    at: (values) => {
      const key = keys.map((label) => values[label] ?? "").join("\u0000")
      const known = series.get(key)
      if (known !== undefined) return known
      const other = keys.map((label) => {
        const value = values[label] ?? ""
        return (labels[label] ?? []).includes(value) ? value : "other"
      })
      const fallback = series.get(other.join("\u0000"))
      if (fallback === undefined) throw new Error(`${name} has no series ${JSON.stringify(values)}`)
      return fallback
    },
  }
}

/** Something that happened, counted. */
export interface Counter<L extends Labels> {
  readonly name: string
  readonly inc: (values: Values<L>, by?: number) => void
}

/** `name` ends in `_total`, by Prometheus' convention. */
export const counter = <const L extends Labels>(name: string, help: string, labels: L): Counter<L> => {
  if (!name.endsWith("_total")) throw new Error(`the counter ${name} must end in _total`)
  const series = family(name, labels, () => Metric.counter(name, { description: help, incremental: true }))
  return { name, inc: (values, by = 1) => series.at(values)(by) }
}

/** A level: how much of something there is now. */
export interface Gauge<L extends Labels> {
  readonly name: string
  readonly set: (values: Values<L>, level: number) => void
}

/** A level that is told when it changes. For one that is read when it is asked for, see `observe`. */
export const gauge = <const L extends Labels>(name: string, help: string, labels: L): Gauge<L> => {
  const series = family(name, labels, () => Metric.gauge(name, { description: help }))
  return { name, set: (values, level) => series.at(values)(level) }
}

/** How long, or how large, as a distribution. */
export interface Histogram<L extends Labels> {
  readonly name: string
  readonly observe: (values: Values<L>, value: number) => void
}

/** Of a request's time (s): fine where a sale's answers lie, up to the longest deadline. */
export const SECONDS: ReadonlyArray<number> = [
  0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.8, 1, 2.5, 5, 10,
]

/** `boundaries` are the upper ends of the buckets, ascending, in the unit that the name ends in. */
export const histogram = <const L extends Labels>(
  name: string,
  help: string,
  labels: L,
  boundaries: ReadonlyArray<number> = SECONDS,
): Histogram<L> => {
  const series = family(name, labels, () =>
    Metric.histogram(name, MetricBoundaries.fromIterable(boundaries), help),
  )
  return { name, observe: (values, value) => series.at(values)(value) }
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
