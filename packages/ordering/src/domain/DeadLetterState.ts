/** A dead letter's life: open until it is settled, once, one way or the other. */

export type DeadLetterState = "open" | "replayed" | "discarded"

export const states: ReadonlyArray<DeadLetterState> = ["open", "replayed", "discarded"]

/** How a letter is settled. */
export type Settlement = "replay" | "discard"

/** The state that a settlement leads to. Only an open letter can be settled. */
export const settled: Readonly<Record<Settlement, Exclude<DeadLetterState, "open">>> = {
  replay: "replayed",
  discard: "discarded",
}
