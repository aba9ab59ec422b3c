/** What ordering reads from its configuration beside engines, ports and peers. */
import * as AppConfig from "@floodgate/runtime/config/AppConfig"
import * as Config from "effect/Config"
import * as ConfigError from "effect/ConfigError"
import * as Context from "effect/Context"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"

export interface Values {
  /** ORDER_NUM_KEY, shared with inventory: proves that a number was issued to its buyer. */
  readonly orderNumKey: Redacted.Redacted<string>
  /** INVENTORY_SCHEMA: the database that holds `product` and `stock_log` on the same server. */
  readonly inventorySchema: string
  /** ORDER_PAY_TIMEOUT_MS: how long an order may stay unpaid. */
  readonly payTimeoutMs: number
}

export class OrderingConfig extends Context.Tag("@floodgate/ordering/OrderingConfig")<
  OrderingConfig,
  Values
>() {}

const SCHEMA_NAME = /^[A-Za-z0-9_]{1,64}$/
const MAX_PAY_TIMEOUT_MS = 7 * 24 * 3_600_000

const inventorySchema = Config.string("INVENTORY_SCHEMA").pipe(
  Config.withDefault("inventory"),
  Config.mapOrFail((name) =>
    SCHEMA_NAME.test(name)
      ? Either.right(name)
      : Either.left(ConfigError.InvalidData(["INVENTORY_SCHEMA"], "must be a database name of [A-Za-z0-9_]")),
  ),
)

const payTimeoutMs = AppConfig.devDefault(Config.string("ORDER_PAY_TIMEOUT_MS"), "900000").pipe(
  Config.mapOrFail((text) => {
    const ms = Number(text)
    return /^\d+$/.test(text) && ms >= 1 && ms <= MAX_PAY_TIMEOUT_MS
      ? Either.right(ms)
      : Either.left(
          ConfigError.InvalidData(["ORDER_PAY_TIMEOUT_MS"], `must be from 1 to ${MAX_PAY_TIMEOUT_MS} ms`),
        )
  }),
)

/** All of it, for `requires` of `Main.run`. */
export const config: Config.Config<Values> = Config.all({
  orderNumKey: AppConfig.secret("ORDER_NUM_KEY"),
  inventorySchema,
  payTimeoutMs,
})

export const layer: Layer.Layer<OrderingConfig, AppConfig.ConfigInvalid> = Layer.effect(
  OrderingConfig,
  AppConfig.load(config),
)

/** For tests. */
export const layerOf = (values: Values): Layer.Layer<OrderingConfig> => Layer.succeed(OrderingConfig, values)
