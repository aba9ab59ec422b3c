/**
 * The error catalogue: every code a caller can meet, with its HTTP status, its gRPC status and the words for it.
 * One row a reason; documentation pages, OpenAPI and both wire mappings are made from this table.
 */

/** The canonical gRPC status names that the catalogue uses. */
export type GrpcStatusName =
  | "INVALID_ARGUMENT"
  | "UNAUTHENTICATED"
  | "PERMISSION_DENIED"
  | "NOT_FOUND"
  | "ALREADY_EXISTS"
  | "FAILED_PRECONDITION"
  | "ABORTED"
  | "RESOURCE_EXHAUSTED"
  | "UNAVAILABLE"
  | "INTERNAL"

export interface CatalogueRow {
  /** The envelope's `code`. */
  readonly code: number
  /** The HTTP status. */
  readonly http: number
  readonly grpc: GrpcStatusName
  /** `msg` in English and Chinese: safe to show to a person. */
  readonly en: string
  readonly zh: string
  /** For `/docs/errors/<code>`: when it happens, and what a client does about it. */
  readonly cause: string
  readonly action: string
}

const row = (
  code: number,
  http: number,
  grpc: GrpcStatusName,
  en: string,
  zh: string,
  cause: string,
  action: string,
): CatalogueRow => ({ code, http, grpc, en, zh, cause, action })

export const catalogue = {
  INVALID_INPUT: row(
    400,
    400,
    "INVALID_ARGUMENT",
    "Invalid input",
    "请求参数有误",
    "A field is missing, unknown, or outside its bounds; data.issues names each.",
    "Correct the request; repeating it unchanged gives the same answer.",
  ),
  UNAUTHENTICATED: row(
    401,
    401,
    "UNAUTHENTICATED",
    "Please sign in",
    "请先登录",
    "No access token, or one that is malformed, expired, revoked or meant for something else.",
    "Refresh the token once, else sign in again.",
  ),
  FORBIDDEN: row(
    403,
    403,
    "PERMISSION_DENIED",
    "You are not permitted to do this",
    "没有权限",
    "The signed-in account's roles don't carry the permission that the route asks for.",
    "Don't retry; ask an administrator for the role.",
  ),
  NOT_FOUND: row(
    404,
    404,
    "NOT_FOUND",
    "Not found",
    "资源不存在",
    "There is no such thing, or it belongs to somebody else.",
    "Don't retry.",
  ),
  METHOD_NOT_ALLOWED: row(
    405,
    405,
    "INVALID_ARGUMENT",
    "Method not allowed",
    "请求方法不被允许",
    "The path exists, but not with this method; the Allow header lists those it has.",
    "Use a listed method.",
  ),
  REQUEST_TIMEOUT: row(
    408,
    408,
    "INVALID_ARGUMENT",
    "The request took too long to arrive",
    "请求超时",
    "Headers or body didn't arrive in time.",
    "Send it again on a better connection.",
  ),
  BODY_TOO_LARGE: row(
    413,
    413,
    "INVALID_ARGUMENT",
    "The request body is too large",
    "请求内容过大",
    "The body is over the route's limit (64 KiB unless said).",
    "Send less.",
  ),
  UNSUPPORTED_MEDIA_TYPE: row(
    415,
    415,
    "INVALID_ARGUMENT",
    "Unsupported content type",
    "不支持的内容类型",
    "The route takes application/json only, unless said.",
    "Set content-type: application/json.",
  ),
  RATE_LIMITED: row(
    429,
    429,
    "RESOURCE_EXHAUSTED",
    "Too many requests, please slow down",
    "请求过于频繁，请稍后再试",
    "A token bucket of this account, address or product is empty.",
    "Wait as long as Retry-After says.",
  ),
  INTERNAL: row(
    500,
    500,
    "INTERNAL",
    "Something went wrong on our side",
    "服务器内部错误",
    "A defect. It is logged under the trace id.",
    "Report the x-trace-id.",
  ),
  USERNAME_TAKEN: row(
    501,
    409,
    "ALREADY_EXISTS",
    "That username is taken",
    "用户名已存在",
    "Another account has this name, in whatever letter case.",
    "Choose another name.",
  ),
  WRONG_CREDENTIALS: row(
    502,
    401,
    "UNAUTHENTICATED",
    "Wrong username or password",
    "用户名或密码错误",
    "No such account, or not its password; the answer is the same for both.",
    "Ask the person again.",
  ),
  SOLD_OUT: row(
    510,
    409,
    "FAILED_PRECONDITION",
    "Sold out",
    "已售罄",
    "Fewer are left than were asked for; data.left says how many.",
    "Ask for fewer, or watch for a restock.",
  ),
  ALREADY_BOUGHT: row(
    511,
    409,
    "ALREADY_EXISTS",
    "You already bought this",
    "您已抢购过该商品",
    "The account's purchase limit for this product is used up; data has the order numbers.",
    "Show the order of data.order_num.",
  ),
  NOT_STARTED: row(
    512,
    409,
    "FAILED_PRECONDITION",
    "The sale has not started",
    "秒杀尚未开始",
    "The sale's clock is before start_time.",
    "Count down by x-server-time, then ask again.",
  ),
  ENDED: row(
    513,
    409,
    "FAILED_PRECONDITION",
    "The sale has ended",
    "秒杀已结束",
    "The sale's clock is past end_time.",
    "Don't retry.",
  ),
  NOT_ON_SALE: row(
    514,
    409,
    "FAILED_PRECONDITION",
    "This product is not on sale",
    "商品未上架",
    "The product is a draft or was withdrawn.",
    "Don't retry.",
  ),
  WRONG_STATE: row(
    520,
    409,
    "FAILED_PRECONDITION",
    "The current state does not allow this",
    "当前状态不允许此操作",
    "The order, product or payment has moved on; data.state says where it is.",
    "Fetch it again.",
  ),
  IDEMPOTENCY_MISMATCH: row(
    521,
    422,
    "INVALID_ARGUMENT",
    "This idempotency key was used with another request",
    "幂等键已用于其他请求",
    "The same Idempotency-Key came with another body.",
    "Make a new key for a new wish.",
  ),
  IN_FLIGHT: row(
    522,
    409,
    "ABORTED",
    "The same request is already being handled",
    "重复提交",
    "The same key is in flight, or the same thing was submitted a moment ago (data.id).",
    "Wait, then fetch the result.",
  ),
  PAYMENT_MISMATCH: row(
    523,
    422,
    "FAILED_PRECONDITION",
    "The payment does not match the order",
    "支付信息与订单不符",
    "A callback's amount, currency or order isn't that of the payment.",
    "A provider's adapter is wrong; an alert has fired.",
  ),
  PAYMENT_DECLINED: row(
    524,
    402,
    "FAILED_PRECONDITION",
    "Payment declined: the balance is too low",
    "支付失败，余额不足",
    "The wallet held less than the order's amount when it was asked.",
    "Top up, or pay by another channel.",
  ),
  STALE_VERSION: row(
    525,
    409,
    "ABORTED",
    "It was changed by someone else",
    "数据已被他人修改",
    "The version sent isn't the current one (data.version).",
    "Fetch it again and redo the edit.",
  ),
  BUSY: row(
    530,
    503,
    "UNAVAILABLE",
    "The system is busy, please try again",
    "系统繁忙，请稍后再试",
    "A dependency is degraded, a shard is recovering, or the outcome isn't known yet (data.order_num).",
    "Wait as long as Retry-After says; ask for data.order_num where it is given.",
  ),
  BANNED: row(
    701,
    403,
    "PERMISSION_DENIED",
    "This account is banned",
    "账号已被封禁",
    "The account was banned by an operator.",
    "Contact support.",
  ),
  FREQUENCY_LIMITED: row(
    702,
    429,
    "RESOURCE_EXHAUSTED",
    "Too many attempts from this device or address",
    "设备或账号操作过于频繁",
    "One device or address acts for too many accounts, or too fast.",
    "Wait as long as Retry-After says.",
  ),
  ADDRESS_BLOCKED: row(
    703,
    403,
    "PERMISSION_DENIED",
    "Your address is blocked",
    "当前网络地址已被限制",
    "The address is on the black list.",
    "Contact support.",
  ),
  CHALLENGE_REQUIRED: row(
    704,
    403,
    "PERMISSION_DENIED",
    "Please complete the challenge first",
    "请先完成验证",
    "The product or the caller's standing asks for a challenge.",
    "Solve it by POST /challenge, and send its ticket.",
  ),
  WAITING_ROOM: row(
    705,
    429,
    "RESOURCE_EXHAUSTED",
    "You are in the waiting room",
    "正在排队中",
    "The product has a waiting room and this caller isn't admitted yet.",
    "Queue by POST /products/:id/queue.",
  ),
} as const satisfies Record<string, CatalogueRow>

/** A machine-readable name of an error: `ErrorInfo.reason` on gRPC. */
export type Reason = keyof typeof catalogue

/** Every code of the catalogue. */
export type Code = (typeof catalogue)[Reason]["code"]

export const reasons = Object.keys(catalogue) as ReadonlyArray<Reason>
