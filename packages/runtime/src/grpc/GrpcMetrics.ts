/** What a process shows of the calls it answers and of those it makes. */
import type { DescService } from "@bufbuild/protobuf"
import { status } from "@grpc/grpc-js"
import * as Instrument from "../metrics/Instrument.ts"

const served = Instrument.histogram(
  "floodgate_grpc_server_seconds",
  "Time from a call to its answer, by method and by the status it was answered with",
  { service: Instrument.declared, method: Instrument.declared, status: Instrument.met(20) },
  Instrument.COARSE_SECONDS,
)

const serverInFlight = Instrument.gauge(
  "floodgate_grpc_server_in_flight",
  "Calls that are being answered; streams apart",
  {},
)

const called = Instrument.histogram(
  "floodgate_grpc_client_seconds",
  "Time of one attempt of a call until its answer, by peer and method",
  { peer: Instrument.declared, method: Instrument.met(128) },
  Instrument.COARSE_SECONDS,
)

const PEERS = ["identity", "inventory", "ordering", "payment"] as const

const FAILURES = [
  "UNAVAILABLE",
  "DEADLINE_EXCEEDED",
  "CANCELLED",
  "INTERNAL",
  "UNAUTHENTICATED",
  "not_sent",
  "other",
] as const

const failed = Instrument.counter(
  "floodgate_grpc_client_errors_total",
  "Attempts that failed other than by an error that their method declares; not_sent: the breaker is open, or too many are under way",
  { peer: PEERS, status: FAILURES },
)

/** Makes the series of a service's methods, with the statuses that alerts are about. */
export const declare = (service: DescService): void =>
  served.declare({
    service: [service.typeName],
    method: service.methods.map(({ name }) => name),
    status: ["OK", "UNAVAILABLE", "INTERNAL"],
  })

/** What counts the calls of one method of the server: `code` is gRPC's. */
export const serverMethod = (
  service: string,
  method: string,
): ((code: number, startedAtMs: number) => void) => {
  const series = new Map<number, (seconds: number) => void>()
  return (code, startedAtMs) => {
    let one = series.get(code)
    if (one === undefined) {
      one = served.at({ service, method, status: status[code] ?? "UNKNOWN" })
      series.set(code, one)
    }
    one((performance.now() - startedAtMs) / 1_000)
  }
}

/** Shows how many calls are in hand, as `read` says; returns what ends it. */
export const observeInFlight = (read: () => number) =>
  Instrument.observing(() => serverInFlight.set({}, read()))

/** What a client tells of each attempt: `code` is gRPC's; undefined where nothing was sent. */
export const clientOf = (
  peer: (typeof PEERS)[number],
): ((method: string, code: number | undefined, declared: boolean, tookMs: number) => void) => {
  called.declare({ peer: [peer] })
  return (method, code, declared, tookMs) => {
    if (code === undefined) failed.inc({ peer, status: "not_sent" })
    else {
      called.observe({ peer, method }, tookMs / 1_000)
      if (code !== status.OK && !declared) {
        failed.inc({ peer, status: (status[code] ?? "other") as (typeof FAILURES)[number] })
      }
    }
  }
}
