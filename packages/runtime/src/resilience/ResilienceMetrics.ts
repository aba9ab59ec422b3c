/** What a process shows of its breakers. Deadlines and retries count beside their tables. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Instrument from "../metrics/Instrument.ts"
import type { State } from "./Breaker.ts"
import { Breakers } from "./Breakers.ts"

const states: ReadonlyArray<State> = ["closed", "open", "half_open"]

/** Breakers of one process: its engines, peers and channels. */
const MAX_BREAKERS = 32

const state = Instrument.gauge("floodgate_breaker_state", "1 for the state that a breaker is in, else 0", {
  name: Instrument.met(MAX_BREAKERS),
  state: ["closed", "open", "half_open"],
})
const opened = Instrument.counter("floodgate_breaker_opened_total", "How often a breaker has opened", {
  name: Instrument.met(MAX_BREAKERS),
})
const refused = Instrument.counter(
  "floodgate_breaker_refused_total",
  "Calls that an open breaker has turned away",
  { name: Instrument.met(MAX_BREAKERS) },
)

/** Shows the breakers of this process, until the scope closes. */
export const watch: Effect.Effect<void, never, Scope.Scope> = Effect.flatMap(
  Effect.serviceOption(Breakers),
  Option.match({
    onNone: () => Effect.void,
    onSome: (breakers) =>
      Instrument.observing(() => {
        for (const [name, status] of Object.entries(breakers.states())) {
          for (const one of states) state.set({ name, state: one }, status.state === one ? 1 : 0)
          opened.reach({ name }, status.opened)
          refused.reach({ name }, status.refused)
        }
      }),
  }),
)
