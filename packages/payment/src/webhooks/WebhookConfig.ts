/** How endpoints of others are called: where to, how long, how often. */
import * as AppConfig from "@floodgate/runtime/config/AppConfig"
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"
import { type RetryPolicy, retries } from "../domain/Webhook.ts"

export interface Settings {
  /** `WEBHOOK_ALLOW_LOOPBACK`, true in dev: an endpoint may be on this machine, and speak plain http. */
  readonly allowLoopback: boolean
  /** Seal the endpoints' secrets: the first seals, every one opens. */
  readonly sealing: ReadonlyArray<Redacted.Redacted<string>>
  readonly retries: RetryPolicy
}

const allowLoopback = Config.all({
  env: AppConfig.appEnv,
  said: Config.option(Config.boolean("WEBHOOK_ALLOW_LOOPBACK")),
}).pipe(Config.map(({ env, said }) => (said._tag === "Some" ? said.value : env === "dev")))

export const config = Config.all({ allowLoopback, sealing: AppConfig.secretList("KEY_ENCRYPTION_KEY") })

export class WebhookConfig extends Context.Tag("@floodgate/payment/webhooks/WebhookConfig")<
  WebhookConfig,
  Settings
>() {
  static readonly layer = Layer.effect(
    WebhookConfig,
    Effect.map(AppConfig.load(config), (loaded): Settings => ({ ...loaded, retries })),
  )
}
