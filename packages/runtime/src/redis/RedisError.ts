/** What can go wrong with Redis, by what the caller knows afterwards. */
import * as Data from "effect/Data"

/**
 * Certainly not executed: no connection, the queue is full, the breaker is open (`retryAfterMs`: for how long), or Redis refused before doing anything (loading,
 * read-only, cluster down, out of memory, can't persist). With an operation of several commands it speaks of the one
 * that failed.
 */
export class RedisUnavailable extends Data.TaggedError("RedisUnavailable")<{
  readonly op: string
  readonly reason: string
  readonly retryAfterMs?: number
}> {
  override get message(): string {
    return `${this.op}: Redis is unavailable: ${this.reason}`
  }
}

/**
 * Sent, but no answer: the deadline passed or the connection broke. It may have been executed, or may still be: a
 * frozen server runs what it had received when it wakes up.
 */
export class RedisOutcomeUnknown extends Data.TaggedError("RedisOutcomeUnknown")<{
  readonly op: string
  readonly reason: string
}> {
  override get message(): string {
    return `${this.op}: Redis didn't answer: ${this.reason}`
  }
}

/** Redis answered with an error: the command or script is wrong, or a script failed half way. */
export class RedisScriptFailed extends Data.TaggedError("RedisScriptFailed")<{
  readonly op: string
  readonly reason: string
}> {
  override get message(): string {
    return `${this.op}: ${this.reason}`
  }
}

export type RedisError = RedisUnavailable | RedisOutcomeUnknown | RedisScriptFailed

/** Answers that Redis gives before it does anything. Redis checks them before a script's first write, too. */
const REFUSED =
  /^(LOADING|READONLY|CLUSTERDOWN|MASTERDOWN|MISCONF|OOM|TRYAGAIN|BUSY|NOREPLICAS|NOAUTH|WRONGPASS|NOPERM|MOVED|ASK|CROSSSLOT|ERR max number of clients)\b/

/** What ioredis says when it hasn't written a command. */
const UNSENT =
  /^(Stream isn't writeable|Cluster isn't ready|Failed to refresh slots cache|Cluster is ended|Too many Cluster redirections. Last error: ReplyError)/

/** What ioredis says when it gave up on a command that it may have written. */
const CUT_OFF =
  /^(Connection is closed|Command timed out|Command aborted|Socket timeout|Blocking command timed out|Too many Cluster redirections)/

/** The name of ioredis' error classes is that of the class; a bundler may put a digit behind it. */
const nameOf = (error: Error): string => error.name.replace(/\d+$/, "")

/** Whether Redis answered, if only to refuse. */
export const isReply = (cause: unknown): boolean => cause instanceof Error && nameOf(cause) === "ReplyError"

/** Sorts ioredis' errors; undefined for one that is a defect of ours. */
export const classify = (op: string, cause: unknown): RedisError | undefined => {
  if (!(cause instanceof Error)) return undefined
  const { message: reason } = cause
  const name = nameOf(cause)
  if (name === "ReplyError") {
    return REFUSED.test(reason) ? new RedisUnavailable({ op, reason }) : new RedisScriptFailed({ op, reason })
  }
  if (UNSENT.test(reason)) return new RedisUnavailable({ op, reason })
  const { code } = cause as NodeJS.ErrnoException
  return CUT_OFF.test(reason) ||
    name === "AbortError" ||
    name === "MaxRetriesPerRequestError" ||
    name === "ClusterAllFailedError" ||
    typeof code === "string"
    ? new RedisOutcomeUnknown({ op, reason })
    : undefined
}
