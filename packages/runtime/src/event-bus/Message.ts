/** What travels over the event bus, and what an adapter of it offers. */
import type * as Effect from "effect/Effect"
import type { BusFailed, BusUnavailable } from "./BusError.ts"

export interface OutgoingMessage {
  /** Messages of one key stay in order, as they go to one partition. */
  readonly key: string
  readonly value: string | Uint8Array
  /** `traceparent` belongs here when the publisher traces; the bus adds nothing of its own. */
  readonly headers?: Readonly<Record<string, string>>
  /** Chooses the partition in place of the key's hash. Must exist. */
  readonly partition?: number
}

export interface IncomingMessage {
  readonly topic: string
  readonly partition: number
  /** Rises within the partition. Opaque otherwise: its form is the adapter's. */
  readonly offset: string
  readonly key: string
  readonly value: Uint8Array
  readonly headers: Readonly<Record<string, string>>
  /** When the bus took it, Unix ms. */
  readonly timestampMs: number
}

export interface ConsumeOptions {
  /** Consumers of one group share the partitions; a new group starts at the oldest message. */
  readonly group: string
  readonly topics: ReadonlyArray<string>
  /** Most messages in one batch; default 500. */
  readonly maxBatch?: number
  /**
   * Gets the messages of one partition in order. Success moves the group's position past them; a failure or a defect
   * is logged, and the same batch comes again after a back-off while other partitions go on. Runs at least once a
   * batch: it can be interrupted, and repeated elsewhere, whenever this process loses the partition.
   */
  readonly handle: (batch: ReadonlyArray<IncomingMessage>) => Effect.Effect<void, unknown>
}

/** The largest value (bytes) the bus takes; also the largest slice a publish is cut into. */
export const MAX_MESSAGE_BYTES = 768 * 1024

/** The most messages sent in one request. */
export const MAX_PUBLISH_BATCH = 500

export const DEFAULT_MAX_BATCH = 500

/** What an adapter provides; see the `EventBus` tag for the words on each. */
export interface EventBusService {
  readonly publish: (
    topic: string,
    messages: ReadonlyArray<OutgoingMessage>,
  ) => Effect.Effect<void, BusUnavailable>
  readonly consume: (options: ConsumeOptions) => Effect.Effect<never, BusFailed>
  readonly lag: (group: string, topic: string) => Effect.Effect<number, BusUnavailable>
  /** How many consumers a group has. Left out where a bus can't tell. */
  readonly members?: (group: string) => Effect.Effect<number, BusUnavailable>
  readonly ensureTopics: (partitions: Readonly<Record<string, number>>) => Effect.Effect<void, BusUnavailable>
  readonly incarnation: Effect.Effect<string, BusUnavailable>
  readonly checkpoint: Effect.Effect<Effect.Effect<boolean, BusUnavailable>, BusUnavailable>
}

/** Bytes of the value as it travels. */
export const sizeOf = (message: OutgoingMessage): number =>
  typeof message.value === "string" ? Buffer.byteLength(message.value) : message.value.byteLength

/**
 * Cuts a publish into slices that one request can carry, in order. A value over `MAX_MESSAGE_BYTES` could never be
 * delivered and would block its queue for good, so it is a defect of the publisher.
 */
export const slices = (
  messages: ReadonlyArray<OutgoingMessage>,
): ReadonlyArray<ReadonlyArray<OutgoingMessage>> => {
  const out: Array<ReadonlyArray<OutgoingMessage>> = []
  let slice: Array<OutgoingMessage> = []
  let bytes = 0
  for (const message of messages) {
    const size = sizeOf(message)
    if (size > MAX_MESSAGE_BYTES) {
      throw new RangeError(`a message of ${size} bytes is over the bus's limit of ${MAX_MESSAGE_BYTES}`)
    }
    if (slice.length > 0 && (slice.length === MAX_PUBLISH_BATCH || bytes + size > MAX_MESSAGE_BYTES)) {
      out.push(slice)
      slice = []
      bytes = 0
    }
    slice.push(message)
    bytes += size
  }
  if (slice.length > 0) out.push(slice)
  return out
}
