/** Real accounts for a rush. Signing up costs two password hashes each, so they are kept for the next one. */
import * as fs from "node:fs"
import * as path from "node:path"
import { IdentityClient } from "@floodgate/contracts/rpc/IdentityClient"
import * as ServiceCredential from "@floodgate/contracts/rpc/ServiceCredential"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { runEffect } from "../RunEffect.ts"

/** Somebody who wants to buy. */
export interface Buyer {
  readonly id: number
  readonly username: string
  readonly token: string
}

interface Kept {
  readonly username: string
  readonly refresh_token: string
}

/** Removed with the stack's other data by `down --wipe`. */
const fileOf = (dataDir: string): string => path.join(dataDir, "rush-buyers.json")

const read = (file: string): ReadonlyArray<Kept> => {
  try {
    return JSON.parse(fs.readFileSync(file, "utf8")) as ReadonlyArray<Kept>
  } catch {
    return []
  }
}

/** Hashing keeps a core busy for 25 ms; more at once only wait for each other. */
const concurrency = 6

const callOptions = { deadlineMs: 15_000 }

/**
 * `count` signed-in buyers, through identity's own door. Those of an earlier rush are refreshed, which costs no
 * hashing; others are registered. `progress` is told how many there are so far.
 */
export const gather = async (options: {
  readonly dataDir: string
  /** `host:port` of identity. */
  readonly identity: string
  readonly serviceKey: string
  readonly count: number
  readonly progress: (ready: number) => void
}): Promise<ReadonlyArray<Buyer>> => {
  const file = fileOf(options.dataDir)
  const kept = new Map(read(file).map((each) => [each.username, each]))
  const credential = ServiceCredential.make({ service: "stack", keys: [Redacted.make(options.serviceKey)] })
  let ready = 0

  const one = Effect.fnUntraced(function* (index: number) {
    const identity = yield* IdentityClient
    const username = `rush_${String(index).padStart(5, "0")}`
    const password = `floodgate-${username}`
    const refreshToken = kept.get(username)?.refresh_token
    const signIn = identity.login({ username, password }, callOptions)
    const signUp = identity.register({ username, password }, callOptions).pipe(
      Effect.catchTag("UsernameTaken", () => Effect.void),
      Effect.zipRight(signIn),
    )
    const session = yield* refreshToken === undefined
      ? signUp
      : identity
          .refresh({ refreshToken }, callOptions)
          .pipe(
            Effect.catchTag("Unauthenticated", () =>
              signIn.pipe(Effect.catchTag("WrongCredentials", () => signUp)),
            ),
          )
    kept.set(username, { username, refresh_token: session.refreshToken })
    options.progress(++ready)
    return { id: Number(session.user?.id ?? 0), username, token: session.accessToken }
  })

  try {
    return await runEffect(
      Effect.forEach(
        Array.from({ length: options.count }, (_, index) => index),
        one,
        { concurrency },
      ).pipe(Effect.provide(IdentityClient.layer({ url: options.identity, credential }))),
    )
  } finally {
    // Also after a failure: every refresh has spent the token that was kept.
    fs.writeFileSync(file, JSON.stringify([...kept.values()]), { mode: 0o600 })
  }
}
