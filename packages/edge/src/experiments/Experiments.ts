/**
 * The experiments in force on this edge: whom they concern, what they change, and what becomes of these people. Which
 * variant somebody gets is arithmetic (see Assignment), so nothing is looked up and nothing is remembered.
 */
import type {
  Busy,
  InvalidInput,
  NotFound,
  StaleVersion,
  WrongState,
} from "@floodgate/contracts/errors/Errors"
import type { LimitName } from "@floodgate/contracts/http/AdminLimit"
import type { ExperimentKind, RuleMode } from "@floodgate/contracts/http/Experiment"
import * as Sweep from "@floodgate/runtime/lifecycle/Sweep"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Watched from "../settings/Watched.ts"
import * as Assignment from "./Assignment.ts"
import * as ExperimentConfig from "./ExperimentConfig.ts"
import { type Change, type Draft, type Experiment, ExperimentStore } from "./ExperimentStore.ts"
import * as People from "./PeopleStore.ts"
import * as Sightings from "./Sightings.ts"

/** What can become of somebody in an experiment. */
export type Outcome = "accepted" | "paid" | "limited"

/** One experiment that a user is in. */
export interface Assigned {
  readonly key: string
  readonly kind: ExperimentKind
  readonly variant: string
  readonly config: Readonly<Record<string, unknown>>
}

/** Modes in place of the rules' own, by the rules' ids. */
export type RiskOverrides = ReadonlyMap<number, RuleMode>

export class Experiments extends Context.Tag("@floodgate/edge/experiments/Experiments")<
  Experiments,
  {
    /** What a user is in now. */
    readonly of: (userId: number) => ReadonlyArray<Assigned>
    /** The same in a word, for spans and logs: `key=variant,…`; empty for who is in none. */
    readonly label: (userId: number) => string
    /**
     * The numbers of a limit for a user, where an experiment sets them (tokens in the limit's period). Asking exposes the
     * user to the experiments on this limit, the control's people like the others.
     */
    readonly limitOf: (name: LimitName, userId: number) => ExperimentConfig.UserRate | undefined
    /** Rises whenever {@link limitOf} may answer anything else than before. */
    readonly limitsEpoch: () => number
    /**
     * Modes of risk rules for a user; empty where none is changed. Asking exposes the user to the experiments on rules:
     * ask where rules are about to be applied.
     */
    readonly riskOverrides: (userId: number) => RiskOverrides
    /** The user has seen what the page does with a variant; false where they aren't in an experiment of this key. */
    readonly expose: (key: string, userId: number) => boolean
    /** Notes what became of a user, for all the experiments that they are in. */
    readonly happened: (userId: number, outcome: Outcome) => void
    /** What a user's sightings of this outcome are, for whoever writes them without delay. */
    readonly sightingsOf: (userId: number, outcome: Outcome) => ReadonlyArray<People.Sighting>
    /** Makes one; in force here with the answer, and on every other edge within a second. */
    readonly create: (draft: Draft) => Effect.Effect<Experiment, StaleVersion | InvalidInput | Busy>
    /** Changes, starts or stops one; in force as above. */
    readonly change: (
      change: Change,
    ) => Effect.Effect<Experiment, NotFound | StaleVersion | WrongState | InvalidInput | Busy>
    /** Writes what was noted, for whoever wants to count now. */
    readonly flush: Effect.Effect<void>
  }
>() {}

const bits: Readonly<Record<Outcome, number>> = {
  accepted: People.ACCEPTED,
  paid: People.PAID,
  limited: People.LIMITED,
}

/** Between two looks for people to forget (ms), and the statements of one. */
const FORGET_EVERY_MS = 600_000
const FORGET_PAGES = 20

/** An experiment made ready for the hot path. */
interface Running {
  readonly id: number
  readonly key: string
  readonly kind: ExperimentKind
  readonly population: Assignment.Population
  readonly assigned: ReadonlyArray<Assigned>
  /** By variant: what a limit experiment sets. */
  readonly rates: ReadonlyArray<ExperimentConfig.UserRate | undefined>
  /** By variant: what a risk experiment sets. */
  readonly modes: ReadonlyArray<RiskOverrides>
  /** The limit that it is about. */
  readonly limit: LimitName | undefined
}

const ready = (experiment: Experiment): Running => {
  const { id, key, kind, variants } = experiment
  const rates = variants.map(({ config }) => (kind === "limit" ? ExperimentConfig.rateOf(config) : undefined))
  return {
    id,
    key,
    kind,
    population: Assignment.compile(experiment),
    assigned: variants.map(({ config, key: variant }) => ({ key, kind, variant, config })),
    rates,
    modes: variants.map(({ config }) => (kind === "risk" ? ExperimentConfig.modesOf(config) : NONE)),
    limit: rates.find((rate) => rate !== undefined)?.name,
  }
}

const NONE: RiskOverrides = new Map()
const NOTHING: ReadonlyArray<Assigned> = []

export const make = Effect.gen(function* () {
  const store = yield* ExperimentStore
  const people = yield* People.PeopleStore
  const sightings = yield* Sightings.make(people)
  let running: ReadonlyArray<Running> = []
  let ofRisk: ReadonlyArray<Running> = []
  let byLimit: ReadonlyMap<LimitName, Running> = new Map()
  let limitsText = "[]"
  let limitsEpoch = 0

  const look = yield* Watched.make({
    what: "experiments",
    revision: store.revision,
    load: Effect.map(store.running, (found) => {
      running = found.map(ready)
      ofRisk = running.filter(({ kind }) => kind === "risk")
      byLimit = new Map(running.flatMap((each) => (each.limit === undefined ? [] : [[each.limit, each]])))
      sightings.keep(new Set(running.map(({ id }) => id)))
      // What was derived from limits is void only where limits are concerned.
      const text = JSON.stringify(
        found.filter(({ kind }) => kind === "limit").map((each) => [each.id, each.version]),
      )
      if (text !== limitsText) limitsEpoch++
      limitsText = text
    }),
  })

  yield* Sweep.make({
    name: "forgetting people of old experiments",
    everyMs: FORGET_EVERY_MS,
    maxPages: FORGET_PAGES,
    page: people.forget,
  })

  const of = (userId: number): ReadonlyArray<Assigned> => {
    let found: Array<Assigned> | undefined
    for (const { assigned, population } of running) {
      const variant = Assignment.variantOf(population, userId)
      if (variant < 0) continue
      found ??= []
      found.push(assigned[variant]!)
    }
    return found ?? NOTHING
  }

  return Experiments.of({
    of,
    label: (userId) =>
      running.length === 0
        ? ""
        : of(userId)
            .map(({ key, variant }) => `${key}=${variant}`)
            .join(","),
    limitOf: (name, userId) => {
      const experiment = byLimit.get(name)
      if (experiment === undefined) return undefined
      const variant = Assignment.variantOf(experiment.population, userId)
      if (variant < 0) return undefined
      sightings.note(experiment.id, variant, userId, People.EXPOSED)
      return experiment.rates[variant]
    },
    limitsEpoch: () => limitsEpoch,
    riskOverrides: (userId) => {
      let only: RiskOverrides = NONE
      for (const { id, modes, population } of ofRisk) {
        const variant = Assignment.variantOf(population, userId)
        if (variant < 0) continue
        sightings.note(id, variant, userId, People.EXPOSED)
        const found = modes[variant]!
        if (only.size === 0) only = found
        else if (found.size > 0) only = new Map([...only, ...found])
      }
      return only
    },
    expose: (key, userId) => {
      const experiment = running.find((each) => each.key === key)
      const variant = experiment === undefined ? -1 : Assignment.variantOf(experiment.population, userId)
      if (experiment === undefined || variant < 0) return false
      sightings.note(experiment.id, variant, userId, People.EXPOSED)
      return true
    },
    happened: (userId, outcome) => {
      for (const { id, population } of running) {
        const variant = Assignment.variantOf(population, userId)
        if (variant >= 0) sightings.note(id, variant, userId, bits[outcome])
      }
    },
    sightingsOf: (userId, outcome) =>
      running.flatMap(({ id, population }) => {
        const variant = Assignment.variantOf(population, userId)
        return variant < 0 ? [] : [{ experimentId: id, userId, variant, seen: bits[outcome] }]
      }),
    create: (draft) => Effect.tap(store.create(draft), () => look),
    change: (change) => Effect.tap(store.change(change), () => look),
    flush: sightings.flush,
  })
})

export const layer = Layer.scoped(Experiments, make)
