/** Marks an endpoint whose body is a third party's: any content type, handed on byte for byte, never parsed by us. */
import * as Context from "effect/Context"

export class RawBody extends Context.Reference<RawBody>()("@floodgate/contracts/http/RawBody", {
  defaultValue: () => false,
}) {}
