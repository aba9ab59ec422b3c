/** Marks an endpoint whose body isn't JSON: any content type, handed on byte for byte, never parsed by the edge's gate. */
import * as Context from "effect/Context"

export class RawBody extends Context.Reference<RawBody>()("@floodgate/contracts/http/RawBody", {
  defaultValue: () => false,
}) {}

/** The largest body of a route, bytes. */
export const MAX_BODY_BYTES = 64 * 1024

/**
 * The largest body of an endpoint, where that is another. One that takes more than the others is given none of it before
 * its sender is known to be allowed to call it.
 */
export class BodyBytes extends Context.Reference<BodyBytes>()("@floodgate/contracts/http/BodyBytes", {
  defaultValue: () => MAX_BODY_BYTES,
}) {}
