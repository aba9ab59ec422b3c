/**
 * Hashing and verifying of passwords: argon2id with 19 MiB, 2 passes and 1 lane (OWASP's first choice). It is made to
 * be slow and large, so only a few run at once, a bounded number waits, and more are turned away.
 */
import * as os from "node:os"
import { RateLimited } from "@floodgate/contracts/errors/Errors"
import * as argon2 from "@node-rs/argon2"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

const COST = { memoryCost: 19_456, timeCost: 2, parallelism: 1 } as const

/** Beside these, Node's pool of 4 threads still has one for files and names. */
const MAX_RUNNING = Math.max(1, Math.min(3, os.availableParallelism()))

/** About 2 s of work. */
const MAX_WAITING = 64

const RETRY_AFTER_MS = 1_000

export class Passwords extends Context.Tag("@floodgate/identity/Passwords")<
  Passwords,
  {
    /** The PHC text of a password. RateLimited when too many wait. */
    readonly hash: (password: string) => Effect.Effect<string, RateLimited>
    /**
     * Whether the password is the one of this hash. Takes as long when there is no hash, so that the time doesn't
     * tell whether an account exists. RateLimited when too many wait.
     */
    readonly verify: (hash: string | undefined, password: string) => Effect.Effect<boolean, RateLimited>
  }
>() {
  static readonly layer: Layer.Layer<Passwords> = Layer.effect(
    Passwords,
    Effect.suspend(() => make({ maxRunning: MAX_RUNNING, maxWaiting: MAX_WAITING })),
  )
}

/** The service with other bounds. */
export const make = (bounds: {
  readonly maxRunning: number
  readonly maxWaiting: number
}): Effect.Effect<Context.Tag.Service<Passwords>> =>
  Effect.gen(function* () {
    const semaphore = Effect.unsafeMakeSemaphore(bounds.maxRunning)
    let inside = 0
    const bounded = <A>(work: () => Promise<A>): Effect.Effect<A, RateLimited> =>
      Effect.suspend(() => {
        if (inside >= bounds.maxRunning + bounds.maxWaiting) {
          return new RateLimited({ retry_after_ms: RETRY_AFTER_MS })
        }
        inside += 1
        return Effect.ensuring(
          semaphore.withPermits(1)(Effect.uninterruptible(Effect.promise(work))),
          Effect.sync(() => {
            inside -= 1
          }),
        )
      })

    const nobody = yield* Effect.promise(() => argon2.hash("nobody's password", COST))

    return {
      hash: Effect.fn("Passwords.hash")((password: string) => bounded(() => argon2.hash(password, COST))),
      verify: Effect.fn("Passwords.verify")((hash: string | undefined, password: string) =>
        Effect.map(
          bounded(() => argon2.verify(hash ?? nobody, password)),
          (same) => same && hash !== undefined,
        ),
      ),
    }
  })
