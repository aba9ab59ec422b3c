/**
 * The kinds of rules: one port, {@link RuleKinds}, and what there is behind it. A new kind is a name and a schema of its
 * parameters in the contract, an entry in {@link make}, and the routes that it is for in `RiskRoutes`.
 */
import type { ParamsOf, RiskRoute, RuleKind } from "@floodgate/contracts/http/Risk"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Generations } from "../limits/Generations.ts"
import { AccountAges } from "./AccountAges.ts"
import { ASK, type Counter, Counters, type Key } from "./Counters.ts"
import type { Device } from "./Device.ts"
import * as Timing from "./Timing.ts"
import type { Seen } from "./WindowStore.ts"

/** Who asks for what, as far as rules may know. */
export interface Subject {
  readonly route: RiskRoute
  /** The client's address, and what it is limited under: see `ClientAddress.limitKey`. */
  readonly address: string
  readonly addressKey: string
  readonly userId: number | undefined
  readonly device: Device | undefined
  readonly productId: number | undefined
}

/** What a rule found against a request. */
export interface Finding {
  /** When it may be different (ms). */
  readonly waitMs: number
  /** Numbers for the record, with nothing in them that says who. */
  readonly evidence: Readonly<Record<string, number>>
}

/** A check's answer where it will call back. */
export const LATER = Symbol("later")

/**
 * Looks at one request: what it found, at once where it can, else {@link LATER}, and then it calls back once, within
 * 100 ms. Must not throw.
 */
export type Check = (
  subject: Subject,
  done: (finding: Finding | undefined) => void,
) => Finding | undefined | typeof LATER

/** Makes the check of one rule. `name` is that rule's own, for its counters. */
export type Kind<P> = (name: string, params: P) => Check

export class RuleKinds extends Context.Tag("@floodgate/edge/risk/RuleKinds")<
  RuleKinds,
  { readonly [K in RuleKind]: Kind<ParamsOf<K>> }
>() {}

type Counted = ParamsOf<"device-accounts">

/** Accounts whose moments are remembered; twice as many at most. */
const ACCOUNTS = 10_000
/** When a rule without a window may find something else (ms). */
const UNTIL_MS = 60_000

type Of = (subject: Subject) => Key | undefined

const device: Of = (subject) => subject.device?.key
const account: Of = (subject) => subject.userId
const address: Of = (subject) => subject.addressKey
// A signed device answers for itself: the many people behind one address are told apart by theirs.
const bareAddress: Of = (subject) => (subject.device?.signed === true ? undefined : subject.addressKey)

export const make = Effect.gen(function* () {
  const counters = yield* Counters
  const ages = yield* AccountAges
  const clock = yield* Effect.clock

  const found = (seen: Seen, max: number, window_s: number): Finding | undefined =>
    seen.waitMs === 0 ? undefined : { waitMs: seen.waitMs, evidence: { count: seen.count, max, window_s } }

  /** Requests of one thing. */
  const frequency =
    (of: Of): Kind<Counted> =>
    (name, { max, window_s }) => {
      const byRoute = new Map<RiskRoute, Counter>()
      return (subject) => {
        const key = of(subject)
        if (key === undefined) return undefined
        let counter = byRoute.get(subject.route)
        if (counter === undefined) {
          counter = counters.of(`${name}:${subject.route}`)
          byRoute.set(subject.route, counter)
        }
        return found(counter.hit(key, window_s * 1_000, max), max, window_s)
      }
    }

  /** Different members of one thing. */
  const members =
    (of: Of, member: Of): Kind<Counted> =>
    (name, { max, window_s }) => {
      const windowMs = window_s * 1_000
      const counter = counters.of(name)
      return (subject, done) => {
        const key = of(subject)
        const one = member(subject)
        if (key === undefined || one === undefined) return undefined
        const seen = counter.member(key, one, windowMs)
        if (seen !== ASK) return found(seen, max, window_s)
        counter.askMember(key, one, windowMs, max, (answer) => done(found(answer, max, window_s)))
        return LATER
      }
    }

  return RuleKinds.of({
    "device-frequency": frequency(device),
    "account-frequency": frequency(account),
    "device-accounts": members(device, account),
    "account-devices": members(account, device),
    "account-addresses": members(account, address),
    "address-accounts": members(bareAddress, account),
    "new-account":
      (_name, { max_age_s }) =>
      ({ userId }) => {
        const notBeforeMs = userId === undefined ? undefined : ages.notBeforeMs(userId)
        if (notBeforeMs === undefined) return undefined
        const ageMs = clock.unsafeCurrentTimeMillis() - notBeforeMs
        const leftMs = max_age_s * 1_000 - ageMs
        return leftMs <= 0
          ? undefined
          : { waitMs: leftMs, evidence: { age_s: Math.max(0, Math.floor(ageMs / 1_000)), max_age_s } }
      },
    "regular-timing": (_name, { max_jitter_ms, samples }) => {
      const moments = new Generations<number, Timing.Moments>(ACCOUNTS)
      return ({ userId }) => {
        if (userId === undefined) return undefined
        let seen = moments.get(userId)
        if (seen === undefined) {
          seen = []
          moments.set(userId, seen)
        }
        Timing.see(seen, performance.now())
        const jitterMs = Timing.jitterMs(seen, samples)
        return jitterMs === undefined || jitterMs >= max_jitter_ms
          ? undefined
          : {
              waitMs: UNTIL_MS,
              evidence: { jitter_ms: Math.round(jitterMs * 10) / 10, samples, max_jitter_ms },
            }
      }
    },
  })
})

export const layer = Layer.effect(RuleKinds, make)
