/**
 * Rate, errors and duration of every route, and what is in hand. Routes are those of the contract; whatever matches none
 * is counted as `other`, so that nobody outside makes a series.
 */
import type { ServerResponse } from "node:http"
import * as Instrument from "@floodgate/runtime/metrics/Instrument"
import type { Route } from "./RouteTable.ts"

const CLASSES = ["2xx", "3xx", "4xx", "5xx", "client_left"] as const

/** Statuses that the contract knows; there is no other. */
const STATUSES = [
  200, 201, 202, 204, 304, 400, 401, 403, 404, 405, 408, 409, 413, 415, 422, 429, 431, 500, 503,
].map(String)

const requests = Instrument.counter(
  "floodgate_http_requests_total",
  "Requests answered, by route and class of status; client_left: nobody was there to hear the answer",
  { method: Instrument.declared, route: Instrument.declared, status: CLASSES },
)
const responses = Instrument.counter("floodgate_http_responses_total", "Answers by their exact status", {
  code: [...STATUSES, "other"],
})
const seconds = Instrument.histogram(
  "floodgate_http_request_seconds",
  "Time from a request's headers to the end of its answer, by route; event streams apart",
  { route: Instrument.declared },
)
const inFlight = Instrument.gauge(
  "floodgate_http_requests_in_flight",
  "Requests that aren't answered yet; event streams among them",
  {},
)

const codes = new Map(STATUSES.map((code) => [Number(code), responses.at({ code })]))
const otherCode = responses.at({ code: "other" })

/** What counts one route's requests. */
interface Series {
  readonly classes: Readonly<Record<(typeof CLASSES)[number], (n: number) => void>>
  /** Undefined for what lasts as long as its listener. */
  readonly seconds: ((value: number) => void) | undefined
}

const classOf = (status: number): (typeof CLASSES)[number] => {
  if (status < 300) return "2xx"
  if (status < 400) return "3xx"
  return status < 500 ? "4xx" : "5xx"
}

export interface HttpMetrics {
  /** A request has come. Answers what is to be told of its end, once. */
  readonly begin: () => (
    route: Pick<Route, "method" | "path"> | undefined,
    status: number | undefined,
  ) => void
  /** `begin`, and tells of the end by itself when the answer is over; the answered function names the route. */
  readonly watch: (response: ServerResponse) => (route: Pick<Route, "method" | "path">) => void
}

/** Makes the series of every route at once. `streams`: paths whose answers have no end. */
export const make = (routes: ReadonlyArray<Pick<Route, "method" | "path">>, streams: ReadonlySet<string>) => {
  const seriesOf = (method: string, path: string): Series => ({
    classes: Object.fromEntries(
      CLASSES.map((status) => [status, requests.at({ method, route: path, status })]),
    ) as Series["classes"],
    seconds: streams.has(path) ? undefined : seconds.at({ route: path }),
  })
  for (const { method, path } of routes) {
    requests.declare({ method: [method], route: [path] })
    if (!streams.has(path)) seconds.declare({ route: [path] })
  }
  const known = new Map<object, Series>()
  const unknown = seriesOf("other", "other")
  const find = (route: Pick<Route, "method" | "path">): Series => {
    let series = known.get(route)
    if (series === undefined) {
      series = seriesOf(route.method, route.path)
      known.set(route, series)
    }
    return series
  }

  let open = 0
  const end = (
    route: Pick<Route, "method" | "path"> | undefined,
    status: number | undefined,
    startedAt: number,
  ): void => {
    open--
    const series = route === undefined ? unknown : find(route)
    if (status === undefined) series.classes.client_left(1)
    else {
      series.classes[classOf(status)](1)
      ;(codes.get(status) ?? otherCode)(1)
      series.seconds?.((performance.now() - startedAt) / 1_000)
    }
  }

  const metrics: HttpMetrics = {
    begin: () => {
      open++
      const startedAt = performance.now()
      return (route, status) => end(route, status, startedAt)
    },
    watch: (response) => {
      open++
      const startedAt = performance.now()
      let named: Pick<Route, "method" | "path"> | undefined
      response.once("close", () =>
        end(named, response.headersSent ? response.statusCode : undefined, startedAt),
      )
      return (route) => {
        named = route
      }
    },
  }
  return { metrics, observe: Instrument.observing(() => inFlight.set({}, open)) }
}
