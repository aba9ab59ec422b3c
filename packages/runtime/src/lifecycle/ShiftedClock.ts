/**
 * A clock that is wrong, for fault tests: in a test build, FLOODGATE_FAULTS_CLOCK_MS is added to everything that this
 * process believes about the time. Whatever asks for the time is deceived alike, as by a machine whose clock is off; only
 * intervals stay what they are. Called like a `CrashPoint`, so that no other build has it.
 */
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"

/** The same class of dates, `offsetMs` off. */
const shifted = (RealDate: DateConstructor, offsetMs: number): DateConstructor =>
  new Proxy(RealDate, {
    construct: (target, args, newTarget) =>
      Reflect.construct(target, args.length === 0 ? [target.now() + offsetMs] : args, newTarget),
    get: (target, property, receiver) =>
      property === "now" ? () => target.now() + offsetMs : Reflect.get(target, property, receiver),
  })

/** From here on this process's clock is off by as much as it was told; right without a word. */
export const install = (): Effect.Effect<void> =>
  Effect.flatMap(Effect.option(Config.integer("FLOODGATE_FAULTS_CLOCK_MS")), (offset) =>
    Effect.sync(() => {
      if (Option.isSome(offset)) globalThis.Date = shifted(globalThis.Date, offset.value)
    }),
  )
