/**
 * The command line is plain asynchronous TypeScript; where it uses the services' own modules (migrations, topics, the
 * identity client), their Effects run here. A failure is thrown with its own message, one a person can act on.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import { StackError } from "./StackError.ts"

/** Runs to the end. Log lines under warning are dropped: the terminal shows steps, not their insides. */
export const runEffect = async <A, E>(self: Effect.Effect<A, E>): Promise<A> => {
  const exit = await Effect.runPromiseExit(self.pipe(Logger.withMinimumLogLevel(LogLevel.Warning)))
  if (Exit.isSuccess(exit)) return exit.value
  const failure = Cause.squash(exit.cause)
  throw Cause.isFailure(exit.cause) && failure instanceof Error ? new StackError(failure.message) : failure
}
