/**
 * Something the person at the terminal can act on: a taken port, a missing engine, a broken setting.
 * The command line prints the message alone, without a stack, and exits with 1.
 */
export class StackError extends Error {
  override readonly name = "StackError"
}

/** One line for any thrown value, for logs and messages. */
export const describe = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause))
