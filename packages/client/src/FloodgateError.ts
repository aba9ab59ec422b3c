/** What a call can fail with: an answer of the catalogue, or no answer at all. */
import { catalogue, type ErrorCode } from "./gen/Catalogue.ts"

export type { ErrorCode } from "./gen/Catalogue.ts"

/** What `data` carries, by code; the codes that aren't here carry nothing. */
export interface ErrorData {
  400: { readonly issues: ReadonlyArray<{ readonly path: string; readonly message: string }> }
  510: { readonly left?: number }
  511: {
    readonly order_num: string
    readonly order_nums: ReadonlyArray<string>
    readonly limit: number
  }
  520: { readonly state?: string }
  522: { readonly id?: number | string }
  525: { readonly version?: number }
  /** The number to ask for, where the outcome of a reservation is unknown. */
  530: { readonly order_num?: string; readonly id?: number; readonly status?: string }
  704: { readonly kind: string; readonly product_id: number }
  705: QueuePosition
}

/** Where one stands in a product's waiting room. */
export interface QueuePosition {
  readonly state: "waiting" | "admitted"
  readonly position: number
  readonly ahead: number
  readonly retry_after_ms: number
  readonly ticket?: string
}

/** The `data` of an error with this code. */
export type DataOf<C extends ErrorCode> = C extends keyof ErrorData ? ErrorData[C] | null : null

/** The edge answered with a code of the catalogue. */
export class FloodgateError<C extends ErrorCode = ErrorCode> extends Error {
  override readonly name = "FloodgateError"
  readonly code: C
  readonly status: number
  readonly data: DataOf<C>
  /** The name of the code, such as `SOLD_OUT`. */
  readonly reason: string
  /** Under which the request's whole way can be found; support asks for it. */
  readonly traceId: string | undefined
  /** How long to wait before asking again (ms), where the edge said so. */
  readonly retryAfterMs: number | undefined

  constructor(fields: {
    readonly code: C
    readonly status: number
    /** Safe to show, in the language that was asked for. */
    readonly msg: string
    readonly data: unknown
    readonly traceId: string | undefined
    readonly retryAfterMs: number | undefined
  }) {
    super(fields.msg)
    this.code = fields.code
    this.status = fields.status
    this.data = fields.data as DataOf<C>
    this.reason = catalogue[fields.code].reason
    this.traceId = fields.traceId
    this.retryAfterMs = fields.retryAfterMs
  }

  /** Narrows by code: `if (error.is(511)) show(error.data?.order_num)`. */
  is<D extends ErrorCode>(code: D): this is FloodgateError<D> {
    return (this.code as ErrorCode) === code
  }
}

/**
 * No answer came: no connection, a broken one, a time-out, or something that isn't Floodgate answered. Whether a write
 * took effect is unknown; the client has already repeated it where that is safe.
 */
export class NoAnswer extends Error {
  override readonly name = "NoAnswer"
}

/** Whether an error is the edge's, with this code where one is given. */
export const isFloodgateError = <C extends ErrorCode = ErrorCode>(
  error: unknown,
  code?: C,
): error is FloodgateError<C> =>
  error instanceof FloodgateError && (code === undefined || error.code === code)

const isCode = (code: number): code is ErrorCode => code in catalogue

const secondsOf = (header: string | null): number | undefined =>
  header !== null && /^\d{1,6}$/.test(header) ? Number(header) : undefined

/** The error that a response stands for; `body` is what it carried. */
export const errorOf = (response: Response, body: unknown): FloodgateError | NoAnswer => {
  const { code, data, msg } = (typeof body === "object" && body !== null ? body : {}) as {
    readonly code?: unknown
    readonly msg?: unknown
    readonly data?: unknown
  }
  if (typeof code !== "number" || !isCode(code)) {
    return new NoAnswer(`An answer with status ${response.status} that isn't Floodgate's`)
  }
  const seconds = secondsOf(response.headers.get("retry-after"))
  return new FloodgateError({
    code,
    status: response.status,
    msg: typeof msg === "string" ? msg : catalogue[code].en,
    data: data ?? null,
    traceId: response.headers.get("x-trace-id") ?? undefined,
    retryAfterMs: seconds === undefined ? undefined : seconds * 1_000,
  })
}
