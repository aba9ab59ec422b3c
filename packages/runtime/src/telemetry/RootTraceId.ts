/**
 * Lets a root span be made under a trace id that was chosen before: who decides by the id whether a request is recorded
 * (see `Sampling.ts`) answers with that id whether it is or not.
 */
let chosen: string | undefined

/** Runs `begin`, in which the next root span gets the trace id (32 hex digits). Synchronous. */
export const use = <A>(traceId: string, begin: () => A): A => {
  chosen = traceId
  try {
    return begin()
  } finally {
    chosen = undefined
  }
}

/** The chosen id, once; undefined where none was. For the SDK's id generator. */
export const take = (): string | undefined => {
  const id = chosen
  chosen = undefined
  return id
}
