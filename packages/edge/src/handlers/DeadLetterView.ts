/** A dead letter as the console shows it, made from ordering's message. */
import { isUtf8 } from "node:buffer"
import {
  type DeadLetter as Message,
  DeadLetterState as WireState,
} from "@floodgate/contracts/gen/floodgate/ordering/v1/ordering_pb"
import type { DeadLetter, DeadLetterState } from "@floodgate/contracts/http/DeadLetter"
import { format } from "@floodgate/contracts/http/Instant"

const states: Record<WireState, DeadLetterState> = {
  [WireState.UNSPECIFIED]: "open",
  [WireState.OPEN]: "open",
  [WireState.REPLAYED]: "replayed",
  [WireState.DISCARDED]: "discarded",
}

export const wireStateOf: Record<DeadLetterState, WireState> = {
  open: WireState.OPEN,
  replayed: WireState.REPLAYED,
  discarded: WireState.DISCARDED,
}

const timeOrNull = (ms: bigint): string | null => (ms === 0n ? null : format(Number(ms)))

/** A text that was cut in the middle of a character is still one. */
const withoutHalfCharacter = (bytes: Uint8Array): Uint8Array => {
  for (let cut = 0; cut < 4 && cut <= bytes.length; cut++) {
    const shorter = bytes.subarray(0, bytes.length - cut)
    if (isUtf8(shorter)) return shorter
  }
  return bytes
}

const payloadOf = (message: Message): Pick<DeadLetter, "payload" | "payload_encoding"> => {
  const isCut = BigInt(message.payload.length) < message.payloadBytes
  const bytes = isCut ? withoutHalfCharacter(message.payload) : message.payload
  return isUtf8(bytes)
    ? { payload: Buffer.from(bytes).toString("utf8"), payload_encoding: "utf8" }
    : { payload: Buffer.from(bytes).toString("base64"), payload_encoding: "base64" }
}

export const of = (message: Message): DeadLetter => {
  const isSettled = message.settledAtMs !== 0n
  return {
    id: Number(message.id),
    topic: message.topic,
    partition: message.partition,
    offset: message.offset,
    key: message.key,
    reason: message.reason,
    attempts: message.attempts,
    ...payloadOf(message),
    payload_bytes: Number(message.payloadBytes),
    order_num: message.orderNum === "" ? null : message.orderNum,
    first_at: format(Number(message.firstAtMs)),
    last_at: format(Number(message.lastAtMs)),
    state: states[message.state] ?? "open",
    discards_at: timeOrNull(message.discardsAtMs),
    settled_at: timeOrNull(message.settledAtMs),
    settled_by: message.settledBy === 0n ? null : Number(message.settledBy),
    settled_reason: isSettled ? message.settledReason : null,
  }
}

/** The columns of an export, in order. */
export const columns: ReadonlyArray<keyof DeadLetter> = [
  "id",
  "topic",
  "partition",
  "offset",
  "key",
  "reason",
  "attempts",
  "order_num",
  "state",
  "first_at",
  "last_at",
  "discards_at",
  "settled_at",
  "settled_by",
  "settled_reason",
  "payload",
  "payload_encoding",
  "payload_bytes",
]
