/** Which channels are on: PAYMENT_CHANNELS, a comma list. The sandbox is never on by default outside dev. */
import * as AppConfig from "@floodgate/runtime/config/AppConfig"
import * as Breakers from "@floodgate/runtime/resilience/Breakers"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Balance from "./Balance.ts"
import { type Channel, Channels } from "./Channel.ts"
import { guarded } from "./Guarded.ts"
import * as Sandbox from "./Sandbox.ts"

const enabled = Config.all({
  env: AppConfig.appEnv,
  list: Config.option(Config.string("PAYMENT_CHANNELS")),
}).pipe(
  Config.map(({ env, list }) =>
    list._tag === "Some"
      ? list.value.split(",").map((name) => name.trim())
      : env === "dev"
        ? [Balance.NAME, Sandbox.NAME]
        : [Balance.NAME],
  ),
)

export const layer = Layer.effect(
  Channels,
  Effect.gen(function* () {
    const names = yield* AppConfig.load(enabled)
    const channels = new Map<string, Channel>()
    for (const name of names) {
      if (name === Balance.NAME) channels.set(name, yield* Balance.make)
      else if (name === Sandbox.NAME) {
        channels.set(name, guarded(yield* Sandbox.make, yield* Breakers.gate("channel", name)))
      } else
        return yield* new AppConfig.ConfigInvalid({ issues: [`PAYMENT_CHANNELS: unknown channel "${name}"`] })
    }
    return channels
  }),
)
