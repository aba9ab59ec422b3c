/** What is for sale: reads from the cache, publishing by inventory. */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import type * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import { InvalidInput } from "@floodgate/contracts/errors/Errors"
import {
  type ListProductsResponse,
  ProductStatus,
} from "@floodgate/contracts/gen/floodgate/inventory/v1/inventory_pb"
import { RestApi } from "@floodgate/contracts/http/Api"
import { CurrentUser } from "@floodgate/contracts/http/Auth"
import { HEADER } from "@floodgate/contracts/http/IdempotencyKey"
import { InventoryClient } from "@floodgate/contracts/rpc/InventoryClient"
import * as Effect from "effect/Effect"
import * as Stale from "../degrade/Stale.ts"
import * as ETag from "../http/ETag.ts"
import * as Exchange from "../http/Exchange.ts"
import { JSON_TYPE } from "../http/Reply.ts"
import { ProductCache } from "../products/ProductCache.ts"
import * as ProductView from "../products/ProductView.ts"
import { ServerClock } from "../seckill/ServerClock.ts"
import * as CanonicalBody from "./CanonicalBody.ts"
import { nextCursor, pageOf, withQueryNames } from "./Lists.ts"
import { callerOf, fromPeer } from "./Peer.ts"

export const layer = HttpApiBuilder.group(RestApi, "products", (handlers) =>
  Effect.gen(function* () {
    const inventory = yield* InventoryClient
    const cache = yield* ProductCache
    const serverClock = yield* ServerClock
    const firstPages = yield* Stale.makeFirstPages<ListProductsResponse>()

    const get = Effect.fn("ProductHandlers.get")(function* ({
      path,
      request,
    }: {
      readonly path: { readonly id: number }
      readonly request: HttpServerRequest.HttpServerRequest
    }) {
      const { body, etag, staleS } = yield* cache.get(path.id)
      const headers = {
        etag,
        "cache-control": "no-cache",
        ...(staleS === undefined ? {} : Stale.headers(staleS)),
      }
      return ETag.isCurrent(request.headers["if-none-match"], etag)
        ? HttpServerResponse.empty({ status: 304, headers })
        : HttpServerResponse.uint8Array(body, { headers, contentType: JSON_TYPE })
    })

    return handlers
      .handle(
        "list",
        Effect.fn("ProductHandlers.list")(function* ({ request, urlParams }) {
          const { status } = urlParams
          const { page, staleS } = yield* firstPages.read(
            urlParams.cursor === undefined ? `${status ?? ""} ${urlParams.limit}` : undefined,
            withQueryNames(
              fromPeer(
                inventory.listProducts({
                  status: status === undefined ? ProductStatus.UNSPECIFIED : ProductView.wireStatusOf[status],
                  ...pageOf(urlParams),
                }),
              ),
            ),
          )
          if (staleS !== undefined) Object.assign(Exchange.of(request).answerHeaders, Stale.headers(staleS))
          const nowMs = serverClock.nowMs()
          return {
            items: page.products.map((product) => ProductView.of(product, nowMs)),
            next_cursor: nextCursor(page.nextPageToken),
          }
        }),
      )
      .handleRaw("get", get)
      .handleRaw("getAlias", get)
      .handle(
        "publish",
        Effect.fn("ProductHandlers.publish")(function* ({ headers, payload, request }) {
          const user = yield* CurrentUser
          if (payload.start_time <= serverClock.nowMs()) {
            return yield* InvalidInput.at("start_time", "must be in the future")
          }
          const product = yield* fromPeer(
            inventory.createProduct(
              {
                name: payload.name,
                description: payload.description,
                price: BigInt(payload.price),
                originalPrice: BigInt(payload.original_price ?? 0),
                stock: BigInt(payload.stock),
                startTimeMs: BigInt(payload.start_time),
                endTimeMs: BigInt(payload.end_time ?? 0),
                perUserLimit: payload.per_user_limit,
                image: payload.image ?? "",
                access: {
                  challenge: payload.access.challenge,
                  waitingRoom: payload.access.waiting_room,
                },
                publisherId: BigInt(user.userId),
                idempotencyKey: headers[HEADER] ?? "",
                bodyHash: CanonicalBody.hash(payload),
              },
              callerOf(user),
            ),
          )
          yield* cache.put(product)
          const { answerHeaders } = Exchange.of(request)
          answerHeaders["location"] = `/products/${product.id}`
          if (product.replayed) answerHeaders["idempotent-replayed"] = "true"
          return ProductView.of(product, serverClock.nowMs())
        }),
        { uninterruptible: true },
      )
  }),
)
