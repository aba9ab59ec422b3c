/**
 * A process of the simulated sale is a generator: it yields before each thing that it does outside its own memory, and
 * whoever schedules it decides when it goes on. So everything between two yields is atomic, every yield is a place
 * where it can be overtaken, stopped or killed, and the same schedule always tells the same story.
 */

/** A service that answers calls. */
export type Server = "inventory" | "ordering" | "payment" | "identity"

/** What a process waits for, and what it does as soon as it may go on. */
export interface Step {
  /** What it is about to do, as the story tells it. */
  readonly what: string
  /** Whether it speaks to something that may fail it. */
  readonly outside?: boolean
  /** May go on when this holds (absent: at once) … */
  readonly until?: () => boolean
  /** … or when the clock has come here, ms. */
  readonly at?: number
  /** The services in whose handlers it is, outermost first. */
  readonly via?: ReadonlyArray<Server>
}

/** What the scheduler tells a process as it lets it go on; nothing where all is well. */
export type Signal =
  | undefined
  /** What it is about to do doesn't reach the other side. */
  | "request lost"
  /** It is done there, and this side never hears of it. */
  | "answer lost"
  /** The outermost call takes too long: its caller stops waiting, its handler goes on. */
  | "deadline"
  /** The service died with all its handlers. */
  | { readonly died: Server }

export type Task<A> = Generator<Step, A, Signal>

/** No definite answer from outside, or a definite failure that is tried again: an engine, a service, a lock. */
export class Away extends Error {
  constructor(readonly from: string) {
    super(`${from} is away`)
  }
}

/** A refusal that is an answer: trying again changes nothing. */
export class Refused extends Error {
  constructor(readonly why: string) {
    super(why)
  }
}

/** One exchange with an engine: atomic there, and either direction may be lost. */
export function* exchange<A>(from: string, what: string, effect: () => A): Task<A> {
  const signal = yield { what, outside: true }
  if (signal === "request lost") throw new Away(from)
  const answer = effect()
  if (signal === "answer lost") throw new Away(from)
  return answer
}

/** Waits until a condition holds, or until the clock has come to `at`. */
export function* wait(what: string, until: () => boolean, at?: number): Task<void> {
  yield at === undefined ? { what, until } : { what, until, at }
}
