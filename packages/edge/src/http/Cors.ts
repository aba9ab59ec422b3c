/** Which origins' pages may call us. Bearer tokens, no cookies: so no credentials. */
import type { IncomingMessage } from "node:http"

export interface Cors {
  /** Headers of an ordinary answer. */
  readonly answer: (request: IncomingMessage) => Readonly<Record<string, string>>
  /** Headers of the answer to a preflight. */
  readonly preflight: (request: IncomingMessage) => Readonly<Record<string, string>>
}

const ALLOW_METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
const ALLOW_HEADERS =
  "authorization, content-type, idempotency-key, x-device-id, last-event-id, traceparent, accept-language"
const EXPOSE_HEADERS = "x-trace-id, x-server-time, retry-after, location, idempotent-replayed, x-error-doc"

const vary = { vary: "Origin" }

/** The rules for an allow-list of exact origins (`https://shop.example`). */
export const make = (origins: ReadonlyArray<string>): Cors => {
  const allowed = new Map(
    origins.map((origin) => {
      const common = { ...vary, "access-control-allow-origin": origin }
      return [
        origin,
        {
          answer: { ...common, "access-control-expose-headers": EXPOSE_HEADERS },
          preflight: {
            ...common,
            "access-control-allow-methods": ALLOW_METHODS,
            "access-control-allow-headers": ALLOW_HEADERS,
            "access-control-max-age": "600",
          },
        },
      ] as const
    }),
  )
  return {
    answer: (request) => allowed.get(request.headers.origin ?? "")?.answer ?? vary,
    preflight: (request) => allowed.get(request.headers.origin ?? "")?.preflight ?? vary,
  }
}
