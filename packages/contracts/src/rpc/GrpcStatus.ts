/**
 * Typed errors on the wire: `google.rpc.Status` with one `ErrorInfo` in the trailer `grpc-status-details-bin`.
 *
 * `ErrorInfo { domain: "floodgate", reason: <Reason>, metadata: { code, data } }`, where `code` is the catalogue's
 * number and `data` the error's fields as JSON (absent where it has none). The status code is the catalogue's.
 * What is not a typed error carries no details: an interruption is CANCELLED, a defect INTERNAL, and of a defect's
 * cause nothing leaves the process.
 */
import { create, fromBinary, toBinary } from "@bufbuild/protobuf"
import { anyPack, anyUnpack } from "@bufbuild/protobuf/wkt"
import { Metadata, status } from "@grpc/grpc-js"
import * as Cause from "effect/Cause"
import * as Option from "effect/Option"
import {
  Busy,
  dataOf,
  type FloodgateError,
  fromWire,
  Internal,
  isFloodgateError,
  reasonOf,
  rowOf,
  Unauthenticated,
} from "../errors/Errors.ts"
import { ErrorInfoSchema } from "../gen/google/rpc/error_details_pb.ts"
import { StatusSchema } from "../gen/google/rpc/status_pb.ts"

export const domain = "floodgate"

const detailsKey = "grpc-status-details-bin"

/** Trailers share HTTP/2's header limit (16 KiB with most peers, and base64 adds a third), so larger data stays behind. */
const maxDataBytes = 8 * 1024

/** What gRPC sends in place of an answer. */
export interface WireStatus {
  readonly code: status
  readonly details: string
  readonly metadata: Metadata
}

/** The status that stands for a typed error. */
export const fromError = (error: FloodgateError): WireStatus => {
  const row = rowOf(error)
  const data = dataOf(error)
  const json = data === null ? "" : JSON.stringify(data)
  const info = create(ErrorInfoSchema, {
    reason: reasonOf(error),
    domain,
    metadata: {
      code: String(row.code),
      ...(json !== "" && Buffer.byteLength(json) <= maxDataBytes ? { data: json } : {}),
    },
  })
  const code = status[row.grpc]
  const metadata = new Metadata()
  metadata.set(
    detailsKey,
    Buffer.from(
      toBinary(
        StatusSchema,
        create(StatusSchema, { code, message: row.en, details: [anyPack(ErrorInfoSchema, info)] }),
      ),
    ),
  )
  return { code, details: row.en, metadata }
}

/** The status of a handler that didn't succeed: its typed error, CANCELLED when it was interrupted, else INTERNAL. */
export const fromCause = (cause: Cause.Cause<unknown>): WireStatus => {
  const failure = Cause.failureOption(cause)
  if (Option.isSome(failure) && isFloodgateError(failure.value)) return fromError(failure.value)
  return Option.isNone(failure) && Cause.isInterruptedOnly(cause)
    ? { code: status.CANCELLED, details: "cancelled", metadata: new Metadata() }
    : { code: status.INTERNAL, details: "internal", metadata: new Metadata() }
}

/** The typed error that a peer sent; undefined where there is none that this version knows. */
export const toError = (metadata: Metadata): FloodgateError | undefined => {
  const [bytes] = metadata.get(detailsKey)
  if (!(bytes instanceof Uint8Array)) return undefined
  try {
    for (const detail of fromBinary(StatusSchema, bytes).details) {
      const info = anyUnpack(detail, ErrorInfoSchema)
      if (info?.domain !== domain) continue
      const data = info.metadata["data"]
      return fromWire(info.reason, data === undefined ? null : JSON.parse(data))
    }
  } catch {
    // Not a google.rpc.Status, or not our JSON: the same as none.
  }
  return undefined
}

/**
 * What a status without a typed error means to a caller: Busy for a peer that couldn't be reached, was too slow or
 * gave up (an unknown outcome, then); Unauthenticated where our credential was refused; Internal for all else.
 */
export const fromTransport = (code: status): Busy | Unauthenticated | Internal => {
  switch (code) {
    case status.UNAVAILABLE:
    case status.DEADLINE_EXCEEDED:
    case status.CANCELLED:
      return new Busy({})
    case status.UNAUTHENTICATED:
      return new Unauthenticated({})
    default:
      return new Internal({})
  }
}
