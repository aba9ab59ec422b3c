/**
 * Which channels are on: PAYMENT_CHANNELS, a comma list. Without it the wallet, in dev the sandbox, and Stripe where its
 * key is set. The sandbox is never on by default outside dev.
 */
import * as AppConfig from "@floodgate/runtime/config/AppConfig"
import * as Breakers from "@floodgate/runtime/resilience/Breakers"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as PaymentMetrics from "../PaymentMetrics.ts"
import * as Balance from "./Balance.ts"
import { type Channel, Channels } from "./Channel.ts"
import { guarded } from "./Guarded.ts"
import * as Sandbox from "./Sandbox.ts"

const STRIPE = "stripe"

const enabled = Config.all({
  env: AppConfig.appEnv,
  list: Config.option(Config.string("PAYMENT_CHANNELS")),
  stripe: Config.option(Config.string("STRIPE_SECRET_KEY")),
}).pipe(
  Config.map(({ env, list, stripe }) =>
    list._tag === "Some"
      ? list.value.split(",").map((name) => name.trim())
      : [Balance.NAME, ...(env === "dev" ? [Sandbox.NAME] : []), ...(stripe._tag === "Some" ? [STRIPE] : [])],
  ),
)

const stripe = Effect.gen(function* () {
  // Only here: where the channel is off, its library isn't loaded.
  const Stripe = yield* Effect.promise(() => import("./Stripe.ts"))
  return yield* Stripe.make(yield* AppConfig.load(Stripe.config))
})

export const layer = Layer.effect(
  Channels,
  Effect.gen(function* () {
    const names = yield* AppConfig.load(enabled)
    const channels = new Map<string, Channel>()
    for (const name of names) {
      if (name === Balance.NAME) channels.set(name, yield* Balance.make)
      else if (name === Sandbox.NAME) channels.set(name, yield* Sandbox.make)
      else if (name === STRIPE) channels.set(name, yield* stripe)
      else
        return yield* new AppConfig.ConfigInvalid({ issues: [`PAYMENT_CHANNELS: unknown channel "${name}"`] })
    }
    for (const [name, channel] of channels) {
      const safe = name === Balance.NAME ? channel : guarded(channel, yield* Breakers.gate("channel", name))
      channels.set(name, PaymentMetrics.metered(safe))
    }
    return channels
  }),
)
