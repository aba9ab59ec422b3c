/** What the standard health service (`grpc.health.v1`) says: the process's readiness. It asks for no credential. */
import { create, toBinary } from "@bufbuild/protobuf"
import {
  HealthCheckResponseSchema,
  HealthCheckResponse_ServingStatus as ServingStatus,
} from "@floodgate/contracts/gen/grpc/health/v1/health_pb"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type { Readiness } from "../lifecycle/Readiness.ts"

/** How often open watches look for a change, in milliseconds. */
export const watchIntervalMs = 500

/** Whether the process serves now: every readiness check holds, and it isn't draining. */
export const current = (readiness: Context.Tag.Service<Readiness>): Effect.Effect<ServingStatus> =>
  readiness.isDraining()
    ? Effect.succeed(ServingStatus.NOT_SERVING)
    : Effect.map(readiness.status, ({ ready, draining }) =>
        ready && !draining ? ServingStatus.SERVING : ServingStatus.NOT_SERVING,
      )

export const encode = (status: ServingStatus): Buffer =>
  Buffer.from(toBinary(HealthCheckResponseSchema, create(HealthCheckResponseSchema, { status })))
