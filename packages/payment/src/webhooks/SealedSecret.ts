/** An endpoint's secret at rest, bound to the endpoint's URL: nobody can have another's messages signed with it. */
import { randomBytes } from "node:crypto"
import * as Sealing from "@floodgate/runtime/crypto/Sealing"
import type * as Redacted from "effect/Redacted"

export type Sealed = Sealing.Sealed

/** A new secret of an endpoint, 256 bits. */
export const generate = (): string => `whsec_${randomBytes(32).toString("base64url")}`

/** At least one secret: the first seals, every one opens. */
export const make = (secrets: ReadonlyArray<Redacted.Redacted<string>>): Sealing.Sealing =>
  Sealing.make("floodgate webhook secrets, aes-256-gcm", secrets)
