/** Device ids by the keys of this process: see `Device`. */
import * as AppConfig from "@floodgate/runtime/config/AppConfig"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { keys } from "../ticket/Tickets.ts"
import * as Device from "./Device.ts"

export class Devices extends Context.Tag("@floodgate/edge/risk/Devices")<Devices, Device.Devices>() {}

export const layer = Layer.effect(
  Devices,
  Effect.map(AppConfig.load(keys), (secrets) => Device.make(secrets.map(Redacted.value))),
)
