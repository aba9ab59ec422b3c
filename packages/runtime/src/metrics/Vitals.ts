/**
 * How this process is, from its own figures: `GetVitals` of every service. It asks nobody: the levels are those that the
 * samplers last saw.
 */
import type { MessageInitShape } from "@bufbuild/protobuf"
import type { Forbidden } from "@floodgate/contracts/errors/Errors"
import type {
  GetVitalsRequest,
  GetVitalsResponseSchema,
} from "@floodgate/contracts/gen/floodgate/vitals/v1/vitals_pb"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as CallerAccess from "../grpc/CallerAccess.ts"
import type { CallContext } from "../grpc/GrpcServer.ts"
import { Breakers } from "../resilience/Breakers.ts"
import * as Instrument from "./Instrument.ts"

export interface Backlog {
  readonly group: string
  readonly topic: string
  readonly messages: number
}

export interface Vitals {
  /** Rows that the bus hasn't got yet, counted up to 10,000; undefined where this process has no outbox. */
  readonly outboxUnsent: number | undefined
  /** Age of the oldest of them, ms. */
  readonly outboxOldestMs: number | undefined
  readonly backlogs: ReadonlyArray<Backlog>
  /** Reservations in the shards' streams without an outcome in MySQL; undefined where this process relays none. */
  readonly relayOpenEntries: number | undefined
  readonly breakers: ReadonlyArray<{ readonly name: string; readonly state: string; readonly forMs: number }>
}

const level = (name: string): number | undefined => Instrument.read(name)[0]?.value

/** The figures of this process, now. */
export const read: Effect.Effect<Vitals> = Effect.map(Effect.serviceOption(Breakers), (breakers) => {
  const oldestS = level("floodgate_outbox_oldest_seconds")
  return {
    outboxUnsent: level("floodgate_outbox_unsent_rows"),
    outboxOldestMs: oldestS === undefined ? undefined : Math.round(oldestS * 1_000),
    backlogs: Instrument.read("floodgate_bus_lag_messages")
      // `other` stands for what nobody has declared: there is no such group.
      .filter(({ labels }) => labels["group"] !== "other" && labels["topic"] !== "other")
      .map(({ labels, value }) => ({
        group: labels["group"] ?? "",
        topic: labels["topic"] ?? "",
        messages: value,
      })),
    relayOpenEntries: level("floodgate_relay_open_entries"),
    breakers: Option.match(breakers, {
      onNone: () => [],
      onSome: ({ states }) =>
        Object.entries(states()).map(([name, { for_ms, state }]) => ({ name, state, forMs: for_ms })),
    }),
  }
})

const said = <K extends string>(name: K, value: number | undefined) =>
  (value === undefined ? {} : { [name]: BigInt(value) }) as { readonly [_ in K]?: bigint }

/** The handler of `GetVitals`: for holders of `report:read`, and for services. */
export const handler = (
  _request: GetVitalsRequest,
  context: Pick<CallContext, "caller">,
): Effect.Effect<MessageInitShape<typeof GetVitalsResponseSchema>, Forbidden> =>
  Effect.zipRight(
    CallerAccess.requirePermission(context, "report:read"),
    Effect.map(read, (vitals) => ({
      ...said("outboxUnsent", vitals.outboxUnsent),
      ...said("outboxOldestMs", vitals.outboxOldestMs),
      backlogs: vitals.backlogs.map((backlog) => ({ ...backlog, messages: BigInt(backlog.messages) })),
      ...said("relayOpenEntries", vitals.relayOpenEntries),
      breakers: vitals.breakers.map(({ forMs, ...breaker }) => ({ ...breaker, forMs: BigInt(forMs) })),
    })),
  ).pipe(Effect.withSpan("Vitals.get"))
