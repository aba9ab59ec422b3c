/** How patiently the reconciler looks. Times in ms. */
import * as Context from "effect/Context"
import * as Layer from "effect/Layer"

export interface Values {
  /** Between two rounds. */
  readonly everyMs: number
  /** After a look through a product, so many times its length pass before the next: large ones are looked at less often. */
  readonly share: number
  /** How long a product of which nothing moved isn't looked through again. */
  readonly unmovedMs: number
  /** How long what one service told another may be under way: an event, a release, a stock change. */
  readonly graceMs: number
  /** How long ordering may take to answer a capture, and a cancel or a time-out to be carried out. */
  readonly answerMs: number
  /** Between two rebuilds of a shard. */
  readonly repairPauseMs: number
}

export const defaults: Values = {
  everyMs: 5_000,
  share: 20,
  unmovedMs: 30_000,
  graceMs: 60_000,
  answerMs: 600_000,
  repairPauseMs: 600_000,
}

export class Settings extends Context.Tag("@floodgate/ordering/reconcile/Settings")<Settings, Values>() {}

export const layer: Layer.Layer<Settings> = Layer.succeed(Settings, defaults)

/** For tests. */
export const layerOf = (values: Partial<Values>): Layer.Layer<Settings> =>
  Layer.succeed(Settings, { ...defaults, ...values })
