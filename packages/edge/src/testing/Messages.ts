/** Messages of the services, as tests answer with them. */
import { create, type MessageInitShape } from "@bufbuild/protobuf"
import {
  ListWalletEntriesResponseSchema,
  LogoutResponseSchema,
  SessionSchema,
  UserSchema,
  WalletEntrySchema,
  WalletSchema,
} from "@floodgate/contracts/gen/floodgate/identity/v1/identity_pb"
import {
  ListProductsResponseSchema,
  ProductSchema,
  ProductStatus,
  ReserveBatchResponseSchema,
} from "@floodgate/contracts/gen/floodgate/inventory/v1/inventory_pb"
import {
  ListOrdersResponseSchema,
  OrderSchema,
  OrderState,
} from "@floodgate/contracts/gen/floodgate/ordering/v1/ordering_pb"
import {
  AcceptCallbackResponseSchema,
  PaymentSchema,
  PaymentStatus,
} from "@floodgate/contracts/gen/floodgate/payment/v1/payment_pb"
import * as OrderNum from "@floodgate/contracts/sale/OrderNum"

const AT_MS = Date.UTC(2026, 0, 31, 8)

export const user = (init: MessageInitShape<typeof UserSchema> = {}) =>
  create(UserSchema, {
    id: 7n,
    username: "alice",
    roles: ["customer"],
    balance: 1_000_000n,
    createdAtMs: BigInt(AT_MS),
    updatedAtMs: BigInt(AT_MS),
    ...(init as object),
  })

export const session = () =>
  create(SessionSchema, {
    accessToken: "access",
    refreshToken: "refresh",
    expiresIn: 900,
    user: user(),
  })

export const logout = () => create(LogoutResponseSchema, {})

export const wallet = () => create(WalletSchema, { userId: 7n, balance: 1_000_000n, currency: "CNY" })

export const walletEntries = (
  entries: ReadonlyArray<MessageInitShape<typeof WalletEntrySchema>>,
  nextPageToken = "",
) =>
  create(ListWalletEntriesResponseSchema, {
    entries: entries.map((entry) => create(WalletEntrySchema, entry)),
    nextPageToken,
  })

/** On sale for an hour from the given moment. */
export const product = (init: MessageInitShape<typeof ProductSchema> = {}) =>
  create(ProductSchema, {
    id: 42n,
    name: "Phone",
    description: "A phone",
    price: 9_900n,
    originalPrice: 19_900n,
    currency: "CNY",
    stock: 100n,
    initialStock: 100n,
    startTimeMs: BigInt(AT_MS),
    endTimeMs: BigInt(AT_MS + 3_600_000),
    perUserLimit: 1,
    image: "/media/phone.webp",
    status: ProductStatus.UPCOMING,
    access: { challenge: false, waitingRoom: false },
    generation: 1,
    version: 3n,
    createdAtMs: BigInt(AT_MS),
    updatedAtMs: BigInt(AT_MS),
    ...(init as object),
  })

export const products = (items: ReadonlyArray<ReturnType<typeof product>>, nextPageToken = "") =>
  create(ListProductsResponseSchema, { products: [...items], nextPageToken })

/** Well formed; who checks the MAC is not the edge. */
export const orderNum = OrderNum.make("a key of the tests, long enough for it", 7, {
  timeMs: AT_MS,
  productId: 42,
  generation: 1,
})

export const order = (init: MessageInitShape<typeof OrderSchema> = {}) =>
  create(OrderSchema, {
    id: 1001n,
    orderNum,
    userId: 7n,
    productId: 42n,
    productName: "Phone",
    quantity: 1,
    amount: 9_900n,
    currency: "CNY",
    state: OrderState.UNPAID,
    expiresAtMs: BigInt(AT_MS + 900_000),
    createdAtMs: BigInt(AT_MS),
    updatedAtMs: BigInt(AT_MS),
    version: 1n,
    ...(init as object),
  })

export const orders = (items: ReadonlyArray<ReturnType<typeof order>>, nextPageToken = "") =>
  create(ListOrdersResponseSchema, { orders: [...items], nextPageToken })

export const payment = (init: MessageInitShape<typeof PaymentSchema> = {}) =>
  create(PaymentSchema, {
    paymentId: "pay_1",
    orderNum,
    userId: 7n,
    channel: "balance",
    amount: 9_900n,
    currency: "CNY",
    status: PaymentStatus.SUCCEEDED,
    ...(init as object),
  })

export const accepted = (init: MessageInitShape<typeof AcceptCallbackResponseSchema> = {}) =>
  create(AcceptCallbackResponseSchema, init)

/** The answer to a batch, one `[code, orderNum?, detail?]` an item. */
export const reserved = (
  items: ReadonlyArray<readonly [code: number, orderNum?: string, detail?: number]>,
  init: MessageInitShape<typeof ReserveBatchResponseSchema> = {},
) =>
  create(ReserveBatchResponseSchema, {
    code: items.map(([code]) => code),
    orderNum: items.map(([, num]) => num ?? ""),
    detail: items.map(([, , detail]) => BigInt(detail ?? 0)),
    serverTimeMs: BigInt(Date.now()),
    ...(init as object),
  })
