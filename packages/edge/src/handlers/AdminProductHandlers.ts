/** The console's products and their stock: inventory decides and keeps the audit. */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import { InvalidInput } from "@floodgate/contracts/errors/Errors"
import { ProductStatus } from "@floodgate/contracts/gen/floodgate/inventory/v1/inventory_pb"
import type { EditProductPayload } from "@floodgate/contracts/http/AdminProduct"
import { RestApi } from "@floodgate/contracts/http/Api"
import { CurrentUser } from "@floodgate/contracts/http/Auth"
import { HEADER } from "@floodgate/contracts/http/IdempotencyKey"
import { InventoryClient } from "@floodgate/contracts/rpc/InventoryClient"
import * as Effect from "effect/Effect"
import * as Exchange from "../http/Exchange.ts"
import { ProductCache } from "../products/ProductCache.ts"
import * as ProductView from "../products/ProductView.ts"
import { ServerClock } from "../seckill/ServerClock.ts"
import * as AdminLists from "./AdminLists.ts"
import * as AdminProductView from "./AdminProductView.ts"
import * as CanonicalBody from "./CanonicalBody.ts"
import { nextCursor, pageOf, withQueryNames } from "./Lists.ts"
import { callerOf, fromPeer } from "./Peer.ts"
import * as RequestId from "./RequestId.ts"

/** These wait for two stores or a rebuild, within the 5 s that a handler has. */
const DEADLINE_MS = 4_500

const editOf = (edit: EditProductPayload) => ({
  ...(edit.name === undefined ? {} : { name: edit.name }),
  ...(edit.description === undefined ? {} : { description: edit.description }),
  ...(edit.image === undefined ? {} : { image: edit.image ?? "" }),
  ...(edit.original_price === undefined ? {} : { originalPrice: BigInt(edit.original_price ?? 0) }),
  ...(edit.access?.challenge === undefined ? {} : { challenge: edit.access.challenge }),
  ...(edit.access?.waiting_room === undefined ? {} : { waitingRoom: edit.access.waiting_room }),
  ...(edit.price === undefined ? {} : { price: BigInt(edit.price) }),
  ...(edit.start_time === undefined ? {} : { startTimeMs: BigInt(edit.start_time) }),
  ...(edit.end_time === undefined ? {} : { endTimeMs: BigInt(edit.end_time ?? 0) }),
  ...(edit.per_user_limit === undefined ? {} : { perUserLimit: edit.per_user_limit }),
})

export const layer = HttpApiBuilder.group(RestApi, "adminProducts", (handlers) =>
  Effect.gen(function* () {
    const inventory = yield* InventoryClient
    const cache = yield* ProductCache
    const serverClock = yield* ServerClock

    type Message = Parameters<typeof cache.put>[0]

    /** What was just written, as this edge shows it from now on. */
    const written = (product: Message) =>
      Effect.map(cache.put(product), () => ProductView.of(product, serverClock.nowMs()))

    return handlers
      .handle(
        "list",
        Effect.fn("AdminProductHandlers.list")(function* ({ request, urlParams }) {
          const user = yield* CurrentUser
          const { q, status } = urlParams
          return yield* AdminLists.answer({
            request,
            query: urlParams,
            name: "products",
            columns: AdminProductView.columns,
            page: (at) =>
              withQueryNames(
                fromPeer(
                  inventory.listManagedProducts(
                    {
                      status:
                        status === undefined
                          ? ProductStatus.UNSPECIFIED
                          : AdminProductView.wireStatusOf[status],
                      q: q ?? "",
                      ...AdminLists.spanOf(urlParams),
                      ...pageOf(at),
                    },
                    callerOf(user),
                  ),
                ),
              ).pipe(
                Effect.map(({ nextPageToken, products }) => ({
                  items: products.map((product) => AdminProductView.of(product, serverClock.nowMs())),
                  next_cursor: nextCursor(nextPageToken),
                })),
              ),
          })
        }),
      )
      .handle(
        "get",
        Effect.fn("AdminProductHandlers.get")(function* ({ path }) {
          const user = yield* CurrentUser
          const found = yield* fromPeer(
            inventory.getManagedProduct({ productId: BigInt(path.id) }, callerOf(user)),
          )
          return AdminProductView.of(found, serverClock.nowMs())
        }),
      )
      .handle(
        "readiness",
        Effect.fn("AdminProductHandlers.readiness")(function* ({ path }) {
          const user = yield* CurrentUser
          const { checks } = yield* fromPeer(
            inventory.getProductReadiness({ productId: BigInt(path.id) }, callerOf(user)),
          )
          return {
            product_id: path.id,
            ready: checks.every(({ ok }) => ok),
            checks: checks.map(({ check, detail, ok }) => ({ check, ok, detail })),
          }
        }),
      )
      .handle(
        "edit",
        Effect.fn("AdminProductHandlers.edit")(function* ({ path, payload, request }) {
          const user = yield* CurrentUser
          const product = yield* fromPeer(
            inventory.updateProduct(
              {
                productId: BigInt(path.id),
                version: BigInt(payload.version),
                reason: payload.reason,
                requestId: RequestId.of(request, user),
                ...editOf(payload),
              },
              { ...callerOf(user), deadlineMs: DEADLINE_MS },
            ),
          )
          return yield* written(product)
        }),
        { uninterruptible: true },
      )
      .handle(
        "warmUp",
        Effect.fn("AdminProductHandlers.warmUp")(function* ({ path, payload }) {
          const user = yield* CurrentUser
          const product = yield* fromPeer(
            inventory.warmUp({ productId: BigInt(path.id), reason: payload.reason }, callerOf(user)),
          )
          return yield* written(product)
        }),
        { uninterruptible: true },
      )
      .handle(
        "withdraw",
        Effect.fn("AdminProductHandlers.withdraw")(function* ({ path, payload, request }) {
          const user = yield* CurrentUser
          const product = yield* fromPeer(
            inventory.withdrawProduct(
              {
                productId: BigInt(path.id),
                reason: payload.reason,
                requestId: RequestId.of(request, user),
              },
              callerOf(user),
            ),
          )
          return yield* written(product)
        }),
        { uninterruptible: true },
      )
      .handle(
        "rebuild",
        Effect.fn("AdminProductHandlers.rebuild")(function* ({ path, payload, request }) {
          const user = yield* CurrentUser
          const { epoch, open, shard } = yield* fromPeer(
            inventory.rebuildProduct(
              {
                productId: BigInt(path.id),
                reason: payload.reason,
                requestId: RequestId.of(request, user),
              },
              { ...callerOf(user), deadlineMs: DEADLINE_MS },
            ),
          )
          return {
            product_id: path.id,
            shard,
            epoch: Number(epoch),
            state: open ? ("open" as const) : ("recovering" as const),
          }
        }),
        { uninterruptible: true },
      )
      .handle(
        "clone",
        Effect.fn("AdminProductHandlers.clone")(function* ({ headers, path, payload, request }) {
          const user = yield* CurrentUser
          if (payload.start_time <= serverClock.nowMs()) {
            return yield* InvalidInput.at("start_time", "must be in the future")
          }
          const product = yield* fromPeer(
            inventory.cloneProduct(
              {
                productId: BigInt(path.id),
                startTimeMs: BigInt(payload.start_time),
                endTimeMs: BigInt(payload.end_time ?? 0),
                name: payload.name ?? "",
                stock: BigInt(payload.stock ?? 0),
                reason: payload.reason,
                idempotencyKey: headers[HEADER] ?? "",
                bodyHash: CanonicalBody.hash(payload),
              },
              callerOf(user),
            ),
          )
          const { answerHeaders } = Exchange.of(request)
          answerHeaders["location"] = `/products/${product.id}`
          if (product.replayed) answerHeaders["idempotent-replayed"] = "true"
          return yield* written(product)
        }),
        { uninterruptible: true },
      )
      .handle(
        "stock",
        Effect.fn("AdminProductHandlers.stock")(function* ({ path, payload, request }) {
          const user = yield* CurrentUser
          const product = yield* fromPeer(
            inventory.changeStock(
              {
                productId: BigInt(path.id),
                delta: BigInt(payload.delta),
                reason: payload.reason,
                // Made of the key, which the contract demands.
                adjustmentId: RequestId.of(request, user),
                bodyHash: CanonicalBody.hash(payload),
              },
              { ...callerOf(user), deadlineMs: DEADLINE_MS },
            ),
          )
          if (product.replayed) Exchange.of(request).answerHeaders["idempotent-replayed"] = "true"
          return yield* written(product)
        }),
        { uninterruptible: true },
      )
      .handle(
        "stockLog",
        Effect.fn("AdminProductHandlers.stockLog")(function* ({ request, urlParams }) {
          const user = yield* CurrentUser
          return yield* AdminLists.answer({
            request,
            query: urlParams,
            name: "stock-log",
            columns: AdminProductView.logColumns,
            page: (at) =>
              withQueryNames(
                fromPeer(
                  inventory.listStockLog(
                    {
                      productId: BigInt(urlParams.product_id),
                      kind: urlParams.kind ?? "",
                      ...AdminLists.spanOf(urlParams),
                      ...pageOf(at),
                    },
                    callerOf(user),
                  ),
                ),
              ).pipe(
                Effect.map(({ entries, nextPageToken }) => ({
                  items: entries.map(AdminProductView.logEntryOf),
                  next_cursor: nextCursor(nextPageToken),
                })),
              ),
          })
        }),
      )
  }),
)
