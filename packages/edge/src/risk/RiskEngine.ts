/**
 * What is to be done about a request: lists first, then the limit of accounts a device, then the rules of its class of
 * route. Compiled when settings change, so that a click costs a few lookups; who must be asked for elsewhere is asked for
 * only where the answer decides something now. A rule that observes never holds anything up.
 *
 * Bans aren't here: they are the token's, and nothing wins over them.
 */
import { catalogue } from "@floodgate/contracts/errors/Catalogue"
import type { Mode, RiskRoute } from "@floodgate/contracts/http/Risk"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { ChallengeProvider } from "../challenge/ChallengeProvider.ts"
import { Experiments } from "../experiments/Experiments.ts"
import type { Language } from "../http/Language.ts"
import * as Reply from "../http/Reply.ts"
import { Generations } from "../limits/Generations.ts"
import type { Left } from "../limits/Limiter.ts"
import { LimitSettings } from "../limits/LimitSettings.ts"
import { table } from "../limits/LimitTable.ts"
import type { Entry } from "./AddressList.ts"
import { ASK, Counters } from "./Counters.ts"
import { RiskRecords } from "./RiskRecords.ts"
import * as RiskRoutes from "./RiskRoutes.ts"
import { RiskSettings } from "./RiskSettings.ts"
import type { Rule } from "./RiskStore.ts"
import { type Check, type Finding, LATER, RuleKinds, type Subject } from "./RuleKinds.ts"
import type { Seen } from "./WindowStore.ts"

export type { Subject } from "./RuleKinds.ts"

export type Verdict =
  /** 703 */
  | { readonly _tag: "AddressBlocked" }
  /** 702 */
  | { readonly _tag: "Frequency"; readonly waitMs: number }
  /** 704 */
  | { readonly _tag: "Challenge"; readonly kind: string }

export interface Standing {
  readonly standing: "ok" | "challenge" | "blocked"
  /** Unix ms. */
  readonly untilMs: number | undefined
}

export class RiskEngine extends Context.Tag("@floodgate/edge/risk/RiskEngine")<
  RiskEngine,
  {
    /** The entry of a list that an address is on. */
    readonly listed: (address: string) => Entry | undefined
    /** Writes down that a black address was turned away. */
    readonly turnedAway: (subject: Subject, entry: Entry) => void
    /**
     * Judges a request whose address isn't black. `proved` says whether its ticket proves a challenge; it is asked at
     * most once, and only where that matters. Calls back once, as a rule before it returns, else within some 100 ms:
     * undefined where the request goes on. Must not throw.
     */
    readonly judge: (
      subject: Subject,
      proved: () => boolean,
      done: (verdict: Verdict | undefined) => void,
    ) => void
    /** How suspicious a caller is by now, from 0 up: challenges grow with it. */
    readonly suspicion: (subject: Subject) => number
    /** How a caller stands. */
    readonly standing: (subject: Subject) => Standing
    /** What is left of the accounts that this caller's device may be used by; undefined without a device. */
    readonly deviceLeft: (subject: Subject) => Left | undefined
  }
>() {}

/** The answer to a verdict, without the detour by a schema. */
export const reply = (verdict: Verdict, productId: number | undefined, language: Language): Reply.Reply => {
  switch (verdict._tag) {
    case "AddressBlocked":
      return Reply.ofRow(catalogue.ADDRESS_BLOCKED, null, language)
    case "Frequency":
      return Reply.ofRow(catalogue.FREQUENCY_LIMITED, { retry_after_ms: verdict.waitMs }, language)
    case "Challenge":
      return Reply.ofRow(
        catalogue.CHALLENGE_REQUIRED,
        { kind: verdict.kind, product_id: productId },
        language,
      )
  }
}

/** Callers that are remembered for how they stood; twice as many at most. */
const REMEMBERED = 20_000
const DEVICE_LIMIT = "limit:seckill-device"

interface Compiled {
  readonly rule: Rule
  readonly check: Check
}

interface Mark {
  readonly standing: "challenge" | "blocked"
  readonly untilMs: number
  /** How often, lately. */
  readonly times: number
}

export const make = Effect.gen(function* () {
  const settings = yield* RiskSettings
  const kinds = yield* RuleKinds
  const deviceAccounts = (yield* Counters).of(DEVICE_LIMIT)
  const limits = yield* LimitSettings
  const experiments = yield* Experiments
  const records = yield* RiskRecords
  const { kind } = yield* ChallengeProvider
  const clock = yield* Effect.clock
  const challenge: Verdict = { _tag: "Challenge", kind }
  const marks = new Generations<number, Mark>(REMEMBERED)
  const checks = new Map<string, Check>()
  let rules: ReadonlyArray<Rule> | undefined
  let compiled = {} as Record<RiskRoute, ReadonlyArray<Compiled>>

  const compile = (): void => {
    rules = settings.rules()
    const made = rules
      .filter(({ enabled }) => enabled)
      .map((rule) => {
        // What a rule has seen outlives a change of its mode or its scope, and of other rules.
        const key = `${rule.id} ${rule.kind} ${JSON.stringify(rule.params)}`
        const check =
          checks.get(key) ??
          (kinds[rule.kind] as (name: string, params: never) => Check)(
            `rule:${rule.id}`,
            rule.params as never,
          )
        return { rule, check, key }
      })
    checks.clear()
    for (const { check, key } of made) checks.set(key, check)
    const routes = Object.keys(RiskRoutes.kindsOf) as ReadonlyArray<RiskRoute>
    compiled = Object.fromEntries(
      routes.map((route) => [route, made.filter(({ rule }) => RiskRoutes.kindsOf[route].has(rule.kind))]),
    ) as unknown as typeof compiled
  }

  const mark = (subject: Subject, standing: Mark["standing"], waitMs: number): void => {
    if (subject.userId === undefined) return
    const nowMs = clock.unsafeCurrentTimeMillis()
    const last = marks.get(subject.userId)
    marks.set(subject.userId, {
      standing,
      untilMs: nowMs + waitMs,
      times: last !== undefined && last.untilMs > nowMs ? last.times + 1 : 1,
    })
  }

  const record = (
    subject: Subject,
    ruleId: number | undefined,
    decision: Mode,
    code: number | undefined,
    evidence: Readonly<Record<string, unknown>>,
  ): void =>
    records.add({
      userId: subject.userId,
      ip: subject.address,
      deviceKey: subject.device?.key,
      route: subject.route,
      ruleId,
      decision,
      code,
      evidence: subject.productId === undefined ? evidence : { ...evidence, product_id: subject.productId },
    })

  /** The window and size of the limit of accounts a device, which is changed like any other limit. */
  const deviceLimit = () => {
    const { burst, rate } = limits.rateOf("seckill-device", 0)
    return { max: burst, windowMs: Math.max(1_000, Math.round((burst / rate) * 1_000)) }
  }

  const judge: RiskEngine["Type"]["judge"] = (subject, proved, done) => {
    if (rules !== settings.rules()) compile()
    const entry = settings.listed(subject.address)
    if (entry?.list === "white") {
      done(undefined)
      return
    }
    const own = compiled[subject.route]
    const tickets = RiskRoutes.takesTickets(subject.route)
    let asked = false
    let solved: boolean | undefined

    // Where no rule is applied, nobody meets an experiment about rules.
    const overrides =
      subject.userId === undefined || own.length === 0 ? undefined : experiments.riskOverrides(subject.userId)
    /** A rule's own mode, but for what an experiment makes of it for this user. */
    const modeOf = (rule: Rule): Mode => overrides?.get(rule.id) ?? rule.mode

    /** A challenge is asked for once, whatever the reasons; undefined where it was solved already. */
    const demand = (ruleId: number | undefined, evidence: Readonly<Record<string, unknown>>): void => {
      if (!tickets) record(subject, ruleId, "observe", undefined, evidence)
      else if (asked) record(subject, ruleId, "challenge", catalogue.CHALLENGE_REQUIRED.code, evidence)
      else {
        if (solved === undefined) solved = proved()
        if (solved) return
        asked = true
        record(subject, ruleId, "challenge", catalogue.CHALLENGE_REQUIRED.code, evidence)
      }
    }

    const refuse = (waitMs: number): void => {
      mark(subject, "blocked", waitMs)
      done({ _tag: "Frequency", waitMs: Math.ceil(waitMs) })
    }

    /** Goes on with the rules from the given one; those that must be waited for come back here. */
    const from = (first: number): void => {
      for (let i = first; i < own.length; i++) {
        const { check, rule } = own[i]!
        if (rule.productId !== undefined && rule.productId !== subject.productId) continue
        if (modeOf(rule) === "observe") {
          const found = check(subject, (late) => {
            if (late !== undefined) record(subject, rule.id, "observe", undefined, late.evidence)
          })
          if (found !== undefined && found !== LATER)
            record(subject, rule.id, "observe", undefined, found.evidence)
          continue
        }
        const found = check(subject, (late) => {
          if (apply(rule, late)) from(i + 1)
        })
        if (found === LATER) return
        if (!apply(rule, found)) return
      }
      if (asked) {
        mark(subject, "challenge", 60_000)
        done(challenge)
      } else done(undefined)
    }

    /** Whether the request goes on. */
    const apply = (rule: Rule, found: Finding | undefined): boolean => {
      if (found === undefined) return true
      if (modeOf(rule) === "challenge") {
        demand(rule.id, found.evidence)
        return true
      }
      record(subject, rule.id, "block", catalogue.FREQUENCY_LIMITED.code, found.evidence)
      refuse(found.waitMs)
      return false
    }

    if (entry?.list === "grey") demand(undefined, { list: "grey", cidr: entry.cidr })

    const { device, userId } = subject
    if (subject.route !== "seckill" || device === undefined || userId === undefined) {
      from(0)
      return
    }
    const { max, windowMs } = deviceLimit()
    const settle = (seen: Seen): void => {
      if (seen.waitMs === 0) from(0)
      else {
        const evidence = {
          limit: "seckill-device",
          count: seen.count,
          max,
          window_s: Math.round(windowMs / 1_000),
        }
        record(subject, undefined, "block", catalogue[table["seckill-device"].refusal].code, evidence)
        refuse(seen.waitMs)
      }
    }
    const seen = deviceAccounts.member(device.key, userId, windowMs)
    if (seen === ASK) deviceAccounts.askMember(device.key, userId, windowMs, max, settle)
    else settle(seen)
  }

  const markOf = (subject: Subject): Mark | undefined => {
    const found = subject.userId === undefined ? undefined : marks.get(subject.userId)
    return found !== undefined && found.untilMs > clock.unsafeCurrentTimeMillis() ? found : undefined
  }

  const unixMs = (steadyMs: number | undefined): number | undefined =>
    steadyMs === undefined
      ? undefined
      : Math.round(clock.unsafeCurrentTimeMillis() + steadyMs - performance.now())

  return RiskEngine.of({
    listed: settings.listed,
    turnedAway: (subject, entry) =>
      record(subject, undefined, "block", catalogue.ADDRESS_BLOCKED.code, {
        list: entry.list,
        cidr: entry.cidr,
      }),
    judge,
    suspicion: (subject) => {
      const found = markOf(subject)
      const grey = settings.listed(subject.address)?.list === "grey" ? 1 : 0
      return grey + (found === undefined ? 0 : Math.min(4, 1 + Math.floor(Math.log2(found.times))))
    },
    standing: (subject) => {
      const entry = settings.listed(subject.address)
      if (entry?.list === "white") return { standing: "ok", untilMs: undefined }
      if (entry?.list === "black") return { standing: "blocked", untilMs: unixMs(entry.expiresMs) }
      const found = markOf(subject)
      if (found?.standing === "blocked") return { standing: "blocked", untilMs: found.untilMs }
      if (entry?.list === "grey") return { standing: "challenge", untilMs: unixMs(entry.expiresMs) }
      return found === undefined
        ? { standing: "ok", untilMs: undefined }
        : { standing: "challenge", untilMs: found.untilMs }
    },
    deviceLeft: ({ device }) => {
      if (device === undefined) return undefined
      const { max, windowMs } = deviceLimit()
      const count = deviceAccounts.countOf(device.key)
      return {
        name: "seckill-device",
        remaining: Math.max(0, max - count),
        resetInMs: count === 0 ? 0 : windowMs,
      }
    },
  })
})

export const layer = Layer.effect(RiskEngine, make)
