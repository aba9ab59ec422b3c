/** The console's limits: read and changed while the sale runs. */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import { catalogue } from "@floodgate/contracts/errors/Catalogue"
import { InvalidInput, NotFound } from "@floodgate/contracts/errors/Errors"
import { type Limit, type LimitName, limitNames } from "@floodgate/contracts/http/AdminLimit"
import { RestApi } from "@floodgate/contracts/http/Api"
import { CurrentUser } from "@floodgate/contracts/http/Auth"
import { format } from "@floodgate/contracts/http/Instant"
import * as Effect from "effect/Effect"
import { LimitSettings } from "../limits/LimitSettings.ts"
import type { Setting } from "../limits/LimitStore.ts"
import { hasProducts, table } from "../limits/LimitTable.ts"

const viewOf = (name: LimitName, setting: Setting | undefined): Limit => {
  const { burst, by, periodS, rate, refusal } = table[name]
  return {
    name,
    product_id: setting?.productId ?? null,
    by,
    rate: setting?.rate ?? rate,
    period_s: periodS,
    burst: setting?.burst ?? burst,
    code: catalogue[refusal].code,
    default: { rate, burst },
    version: setting?.version ?? 1,
    updated_at: setting === undefined ? null : format(setting.updatedMs),
  }
}

export const layer = HttpApiBuilder.group(RestApi, "adminLimits", (handlers) =>
  Effect.gen(function* () {
    const settings = yield* LimitSettings
    return handlers
      .handle(
        "list",
        Effect.fn("AdminLimitHandlers.list")(function* () {
          const changed = yield* settings.list
          const ofAll = limitNames.map((name) =>
            viewOf(
              name,
              changed.find((setting) => setting.name === name && setting.productId === undefined),
            ),
          )
          const ofProducts = changed.filter(({ productId }) => productId !== undefined)
          return { items: [...ofAll, ...ofProducts.map((setting) => viewOf(setting.name, setting))] }
        }),
      )
      .handle(
        "get",
        Effect.fn("AdminLimitHandlers.get")(function* ({ path: { name }, urlParams }) {
          const productId = urlParams.product_id
          const changed = yield* settings.list
          const found = changed.find((setting) => setting.name === name && setting.productId === productId)
          if (found === undefined && productId !== undefined) return yield* new NotFound({})
          return viewOf(name, found)
        }),
      )
      .handle(
        "change",
        Effect.fn("AdminLimitHandlers.change")(function* ({ path: { name }, payload }) {
          const user = yield* CurrentUser
          if (payload.product_id !== undefined && !hasProducts(name)) {
            return yield* InvalidInput.at("product_id", "this limit has no products")
          }
          const setting = yield* settings.change({
            name,
            productId: payload.product_id,
            rate: payload.rate,
            burst: payload.burst,
            version: payload.version,
            reason: payload.reason,
            actorId: user.userId,
          })
          return viewOf(name, setting)
        }),
        { uninterruptible: true },
      )
  }),
)
