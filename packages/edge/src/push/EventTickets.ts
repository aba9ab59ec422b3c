/** Tickets for `EventSource`, which can't send a token: good once, for half a minute, at any edge. */
import { createHash, randomBytes } from "node:crypto"
import { Busy } from "@floodgate/contracts/errors/Errors"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Listener } from "./Hub.ts"
import type { Journal } from "./Journal.ts"

/** How long one may wait for its use (s). */
export const LIFE_S = 30

const Held = Schema.parseJson(
  Schema.Struct({ userId: Schema.Int, issuedMs: Schema.Number, expiresMs: Schema.Number }),
)
const decode = Schema.decodeUnknownOption(Held)

// What is kept is a hash: whoever reads Redis gets no tickets.
const keyOf = (ticket: string): string => createHash("sha256").update(ticket).digest("base64url")

const busy = () => new Busy({})

/** A new one for this listener. */
export const issue = (
  journal: Context.Tag.Service<Journal>,
  listener: Listener,
): Effect.Effect<string, Busy> => {
  const ticket = randomBytes(24).toString("base64url")
  const held = JSON.stringify(listener satisfies Listener)
  return journal.keepOnce(keyOf(ticket), held, LIFE_S).pipe(Effect.as(ticket), Effect.mapError(busy))
}

/** Whose it is, the first time; undefined for a used, an expired or an invented one. */
export const use = (
  journal: Context.Tag.Service<Journal>,
  ticket: string,
): Effect.Effect<Listener | undefined, Busy> =>
  journal.takeOnce(keyOf(ticket)).pipe(
    Effect.mapError(busy),
    Effect.map((held) => {
      const decoded = decode(held)
      return decoded._tag === "Some" ? decoded.value : undefined
    }),
  )
