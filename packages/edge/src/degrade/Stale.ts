/**
 * Answers of before, for reads whose service can't be asked. They say so: `Age` has the seconds since the service said it
 * (RFC 9111 §5.1), and `Cache-Status` (RFC 9211) that it was served past its life because of that. `Warning`, which used
 * to say it, is obsolete.
 */
import type { Busy } from "@floodgate/contracts/errors/Errors"
import * as Effect from "effect/Effect"
import * as Degradation from "./Degradation.ts"

/** The headers of an answer of so many seconds ago. */
export const headers = (staleS: number): { readonly age: string; readonly "cache-status": string } => ({
  age: String(staleS),
  "cache-status": `floodgate; hit; ttl=-${staleS}; detail=degraded`,
})

/** Pages held. A page is at most a hundred products. */
const MAX_PAGES = 32

export interface Page<A> {
  readonly page: A
  /** Seconds since it was read, where it can't be read now. */
  readonly staleS?: number
}

export interface FirstPages<A> {
  /** Reads a page and remembers it under `key`, or answers what is remembered where the read is Busy. */
  readonly read: <E, R>(
    key: string | undefined,
    self: Effect.Effect<A, E | Busy, R>,
  ) => Effect.Effect<Page<A>, E | Busy, R>
}

/**
 * The last known first pages of a list. Later pages aren't kept: whoever turns pages can wait, and their cursors would
 * be an endless supply of keys.
 */
export const makeFirstPages = <A>(): Effect.Effect<FirstPages<A>> =>
  Effect.map(Effect.clock, (clock) => {
    const pages = new Map<string, { readonly page: A; readonly readMs: number }>()
    const nowMs = () => clock.unsafeCurrentTimeMillis()
    return {
      read: (key, self) =>
        key === undefined
          ? Effect.map(self, (page) => ({ page }))
          : self.pipe(
              Effect.map((page) => {
                pages.delete(key)
                if (pages.size >= MAX_PAGES) pages.delete(pages.keys().next().value!)
                pages.set(key, { page, readMs: nowMs() })
                return { page }
              }),
              Effect.catchAll((error) => {
                const last = pages.get(key)
                const ageMs = last === undefined ? Number.POSITIVE_INFINITY : nowMs() - last.readMs
                return last !== undefined && isBusy(error) && ageMs <= Degradation.MAX_STALE_MS
                  ? Effect.succeed({ page: last.page, staleS: Math.ceil(ageMs / 1_000) })
                  : Effect.fail(error)
              }),
            ),
    }
  })

const isBusy = (error: unknown): boolean =>
  typeof error === "object" && error !== null && "_tag" in error && error._tag === "Busy"
