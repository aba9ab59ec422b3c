/** How the event bus fails. */
import * as Data from "effect/Data"

/**
 * The bus didn't confirm an operation in time, or can't be reached. After a `publish` the messages may or may not have
 * been written, so a repeat can duplicate them: consumers are idempotent. Always safe to try again later.
 */
export class BusUnavailable extends Data.TaggedError("BusUnavailable")<{
  /** What was asked, e.g. `publish order.events`. */
  readonly operation: string
  readonly reason: string
}> {
  override get message(): string {
    return `the event bus is unavailable (${this.operation}): ${this.reason}`
  }
}

/**
 * A consumer can't go on and waiting won't help: the broker refuses this group or its topics for good (authorization,
 * authentication, an invalid group name). An unreachable broker is never this; the consumer waits for it.
 */
export class BusFailed extends Data.TaggedError("BusFailed")<{
  readonly group: string
  readonly reason: string
}> {
  override get message(): string {
    return `the consumer group ${this.group} was refused by the event bus: ${this.reason}`
  }
}

/** The words of whatever a client library threw. */
export const reasonOf = (cause: unknown): string => {
  if (!(cause instanceof Error)) return String(cause)
  const words = cause.message === "" ? cause.name : cause.message
  return cause.cause instanceof Error && cause.cause.message !== cause.message
    ? `${words} (${cause.cause.message})`
    : words
}
