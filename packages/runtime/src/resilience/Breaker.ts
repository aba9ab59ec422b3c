/**
 * A circuit breaker: stops calling a dependency that fails or crawls, and finds out by a few real calls when it is back.
 * Plain numbers, no clock and no randomness of its own, so that a call costs nanoseconds and a test decides the time.
 *
 * The window is the last so many answered calls, and of those only the ones that are young enough: a crowd's traffic
 * fills it in milliseconds, so that a freeze isn't hidden behind the successes of the last minute, and a trickle's
 * failures of an hour ago don't count.
 */

export type State = "closed" | "open" | "half_open"

/** What can happen to a breaker. */
export type Happening =
  /** Too large a share of the window failed or was slow. */
  | "tripped"
  /** The pause is over, and somebody calls. */
  | "waited"
  /** Most of the probes were answered in time. */
  | "proved"
  /** Most of them weren't. */
  | "disproved"

/** The whole machine. What a state has no entry for can't happen in it. */
export const transitions: Readonly<Record<State, Readonly<Partial<Record<Happening, State>>>>> = {
  closed: { tripped: "open" },
  open: { waited: "half_open" },
  half_open: { proved: "closed", disproved: "open" },
}

/** The bounds of one breaker. */
export interface Settings {
  /** How many of the last calls are looked at. */
  readonly window: number
  /** Calls older than this (ms) aren't. */
  readonly window_ms: number
  /** Below this many nothing is concluded. */
  readonly minimum: number
  /** Opens at this share of failed calls, above 0 and up to 1. */
  readonly failure_ratio: number
  /** An answer that took more than this share of its deadline is slow. */
  readonly slow_share: number
  /** Opens at this share of slow or failed calls, above 0 and up to 1. */
  readonly slow_ratio: number
  /** The first pause (ms); it doubles each time that the probes fail. The pause taken is random, from half of this on. */
  readonly open_ms: number
  /** No pause is longer (ms). */
  readonly open_cap_ms: number
  /** Calls let through at once to find out; the verdict is that of the majority of so many. An odd number. */
  readonly probes: number
  /** A probe that nobody has heard of for so long (ms) is given up: longer than any call's deadline. */
  readonly probe_ms: number
}

/** How a call ended, as far as the dependency is to blame. */
export type Verdict =
  /** Answered: with success, or with an error that is an answer. */
  | "answered"
  /** Not answered, too late, or turned away by a dependency that can't work. */
  | "failed"
  /** Says nothing of the dependency: interrupted, never sent, our own limits. */
  | "ignored"

/** A moment's counts. */
export interface Counts {
  /** Of the window. */
  readonly calls: number
  readonly failed: number
  /** Slow answers; failures are counted apart. */
  readonly slow: number
  /** Since the start: calls turned away, and times it opened. */
  readonly refused: number
  readonly opened: number
}

export interface Change {
  readonly from: State
  readonly to: State
  readonly at_ms: number
  /** The window's counts that led to it. */
  readonly counts: Counts
}

const ANSWERED = 0
const FAILED = 1
const SLOW = 2

/**
 * One breaker. Times are milliseconds of any clock that doesn't go back; `random` answers from 0 up to 1; `onChange` is
 * called once for every change of state, and must not throw.
 */
export class Breaker {
  readonly #settings: Settings
  readonly #random: () => number
  readonly #onChange: (change: Change) => void

  #state: State = "closed"
  #sinceMs: number
  /** Raised with every change: what was let through before speaks of another time. */
  #epoch = 1

  readonly #kinds: Uint8Array
  readonly #times: Float64Array
  #oldest = 0
  #calls = 0
  #failed = 0
  #slow = 0

  #openUntilMs = 0
  #pauses = 0
  #probing = 0
  #probedMs = 0
  #good = 0
  #bad = 0

  #refused = 0
  #opened = 0

  constructor(
    settings: Settings,
    nowMs: number,
    random: () => number = Math.random,
    onChange: (change: Change) => void = () => {},
  ) {
    this.#settings = settings
    this.#sinceMs = nowMs
    this.#random = random
    this.#onChange = onChange
    this.#kinds = new Uint8Array(settings.window)
    this.#times = new Float64Array(settings.window)
  }

  get state(): State {
    return this.#state
  }

  /** When the state began. */
  get sinceMs(): number {
    return this.#sinceMs
  }

  get counts(): Counts {
    return {
      calls: this.#calls,
      failed: this.#failed,
      slow: this.#slow,
      refused: this.#refused,
      opened: this.#opened,
    }
  }

  /**
   * Asks to make a call. A positive number is the ticket, to be given to `leave` exactly once. Zero or less is a refusal,
   * and its absolute value how long (ms) it pays to wait.
   */
  enter(nowMs: number): number {
    if (this.#state === "closed") return this.#epoch
    if (this.#state === "open") {
      if (nowMs < this.#openUntilMs) return this.#refuse(this.#openUntilMs - nowMs)
      this.#change("waited", nowMs)
    }
    if (this.#probing >= this.#settings.probes) {
      if (nowMs - this.#probedMs < this.#settings.probe_ms) return this.#refuse(this.#settings.open_ms)
      this.#probing = 0
    }
    this.#probing++
    this.#probedMs = nowMs
    return this.#epoch
  }

  /** How long (ms) calls are certainly refused from now on; 0 where the next one may be let through. */
  waitMs(nowMs: number): number {
    return this.#state === "open" ? Math.max(0, this.#openUntilMs - nowMs) : 0
  }

  /** Tells how a call ended that was let in, how long it took and how long it might have taken (ms). */
  leave(ticket: number, verdict: Verdict, tookMs: number, limitMs: number, nowMs: number): void {
    // Of a state that is past: the breaker knows better by now.
    if (ticket !== this.#epoch) return
    const kind =
      verdict === "failed" ? FAILED : tookMs > limitMs * this.#settings.slow_share ? SLOW : ANSWERED
    if (this.#state === "half_open") {
      if (this.#probing > 0) this.#probing--
      if (verdict === "ignored") return
      if (kind === ANSWERED) this.#good++
      else this.#bad++
      const majority = this.#settings.probes / 2
      if (this.#good > majority) this.#change("proved", nowMs)
      else if (this.#bad > majority) this.#change("disproved", nowMs)
    } else if (verdict !== "ignored") {
      this.#count(kind, nowMs)
      if (kind !== ANSWERED && this.#isOverBound()) this.#change("tripped", nowMs)
    }
  }

  #refuse(waitMs: number): number {
    this.#refused++
    return -waitMs
  }

  #count(kind: number, nowMs: number): void {
    const { window, window_ms } = this.#settings
    while (this.#calls === window || (this.#calls > 0 && nowMs - this.#times[this.#oldest]! > window_ms)) {
      const old = this.#kinds[this.#oldest]
      if (old === FAILED) this.#failed--
      else if (old === SLOW) this.#slow--
      this.#oldest = this.#oldest + 1 === window ? 0 : this.#oldest + 1
      this.#calls--
    }
    const at = (this.#oldest + this.#calls) % window
    this.#kinds[at] = kind
    this.#times[at] = nowMs
    this.#calls++
    if (kind === FAILED) this.#failed++
    else if (kind === SLOW) this.#slow++
  }

  #isOverBound(): boolean {
    const { failure_ratio, minimum, slow_ratio } = this.#settings
    return (
      this.#calls >= minimum &&
      (this.#failed >= this.#calls * failure_ratio || this.#failed + this.#slow >= this.#calls * slow_ratio)
    )
  }

  #change(happening: Happening, nowMs: number): void {
    const from = this.#state
    const to = transitions[from][happening]
    if (to === undefined) throw new Error(`a breaker that is ${from} can't be ${happening}`)
    const counts = this.counts
    this.#state = to
    this.#sinceMs = nowMs
    this.#epoch++
    this.#probing = 0
    this.#good = 0
    this.#bad = 0
    this.#oldest = 0
    this.#calls = 0
    this.#failed = 0
    this.#slow = 0
    if (to === "open") {
      const { open_cap_ms, open_ms } = this.#settings
      const pauseMs = Math.min(open_cap_ms, open_ms * 2 ** Math.min(this.#pauses, 30))
      this.#openUntilMs = nowMs + pauseMs * (0.5 + this.#random() / 2)
      this.#pauses++
      this.#opened++
    } else if (to === "closed") {
      this.#pauses = 0
    }
    this.#onChange({ from, to, at_ms: nowMs, counts })
  }
}
