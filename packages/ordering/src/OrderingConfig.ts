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
  /**
   * ORDER_CANCEL_SILENCE_MS: how long a silent provider is asked while a cancelled order's stock is held; then the order
   * is cancelled, and late money goes back.
   */
  readonly cancelSilenceMs: number
  /**
   * ORDER_RETRY_DELAYS_MS: how long a reservation that failed by itself waits before each further try, one a retry
   * topic. Together under 10 s by default: whoever watches the dead letters, and the buyer, shall know soon; and under
   * the 30 s after which inventory's relay sends an undecided reservation once more.
   */
  readonly retryDelaysMs: readonly [number, number, number]
  /** ORDER_DEAD_LETTER_DISCARD_MS: how long a reservation's dead letter holds its stock when nobody minds it. */
  readonly deadLetterDiscardMs: number
}

export class OrderingConfig extends Context.Tag("@floodgate/ordering/OrderingConfig")<
  OrderingConfig,
  Values
>() {}

const SCHEMA_NAME = /^[A-Za-z0-9_]{1,64}$/
const MAX_PAY_TIMEOUT_MS = 7 * 24 * 3_600_000
const MAX_RETRY_DELAY_MS = 3_600_000

const inventorySchema = Config.string("INVENTORY_SCHEMA").pipe(
  Config.withDefault("inventory"),
  Config.mapOrFail((name) =>
    SCHEMA_NAME.test(name)
      ? Either.right(name)
      : Either.left(ConfigError.InvalidData(["INVENTORY_SCHEMA"], "must be a database name of [A-Za-z0-9_]")),
  ),
)

const milliseconds = (key: string, byDefault: string) =>
  Config.string(key).pipe(
    Config.withDefault(byDefault),
    Config.mapOrFail((text) => {
      const ms = Number(text)
      return /^\d+$/.test(text) && ms >= 1 && ms <= MAX_PAY_TIMEOUT_MS
        ? Either.right(ms)
        : Either.left(ConfigError.InvalidData([key], `must be from 1 to ${MAX_PAY_TIMEOUT_MS} ms`))
    }),
  )

const retryDelaysMs = Config.string("ORDER_RETRY_DELAYS_MS").pipe(
  Config.withDefault("500,1500,4000"),
  Config.mapOrFail((text) => {
    const [first, second, third, ...more] = text.split(",").map((part) => part.trim())
    const delays = [first, second, third].map((part) => (/^\d+$/.test(part ?? "") ? Number(part) : 0))
    return more.length === 0 && delays.every((ms) => ms >= 1 && ms <= MAX_RETRY_DELAY_MS)
      ? Either.right(delays as unknown as readonly [number, number, number])
      : Either.left(
          ConfigError.InvalidData(
            ["ORDER_RETRY_DELAYS_MS"],
            `must be three numbers from 1 to ${MAX_RETRY_DELAY_MS} (ms), comma separated`,
          ),
        )
  }),
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
  cancelSilenceMs: milliseconds("ORDER_CANCEL_SILENCE_MS", "60000"),
  retryDelaysMs,
  deadLetterDiscardMs: milliseconds("ORDER_DEAD_LETTER_DISCARD_MS", "900000"),
})

export const layer: Layer.Layer<OrderingConfig, AppConfig.ConfigInvalid> = Layer.effect(
  OrderingConfig,
  AppConfig.load(config),
)

/** For tests. */
export const layerOf = (values: Values): Layer.Layer<OrderingConfig> => Layer.succeed(OrderingConfig, values)
