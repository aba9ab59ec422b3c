/** The signer of tickets with the keys of this process: see `Ticket`. */
import * as AppConfig from "@floodgate/runtime/config/AppConfig"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Ticket from "./Ticket.ts"

/** `TICKET_KEYS`, the same for every edge: the first signs, all verify. */
export const keys = AppConfig.secretList("TICKET_KEYS")

export class Tickets extends Context.Tag("@floodgate/edge/ticket/Tickets")<Tickets, Ticket.Signer>() {}

export const layer = Layer.effect(
  Tickets,
  Effect.map(AppConfig.load(keys), (secrets) => Ticket.make(secrets.map(Redacted.value))),
)
