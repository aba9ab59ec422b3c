/** The console: experiments, gray releases, and what came of them. */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as OpenApi from "@effect/platform/OpenApi"
import * as Schema from "effect/Schema"
import { AdminList, withCsv } from "./AdminList.ts"
import { permission } from "./Auth.ts"
import { Envelope, Failure } from "./Envelope.ts"
import {
  ChangeExperimentPayload,
  CreateExperimentPayload,
  Experiment,
  ExperimentKey,
  ExperimentResults,
  ListExperimentsQuery,
  StopExperimentPayload,
} from "./Experiment.ts"
import { OptionalKey } from "./IdempotencyKey.ts"

const path = Schema.Struct({ key: ExperimentKey })

export const ExperimentAdminApi = HttpApiGroup.make("adminExperiments")
  .add(
    HttpApiEndpoint.get("list", "/admin/experiments")
      .setUrlParams(ListExperimentsQuery)
      .addSuccess(AdminList(Experiment))
      .middleware(permission("experiment:read"))
      .annotate(OpenApi.Summary, "Experiments, newest first")
      .annotate(OpenApi.Transform, withCsv),
  )
  .add(
    HttpApiEndpoint.post("create", "/admin/experiments")
      .setHeaders(OptionalKey)
      .setPayload(CreateExperimentPayload)
      .addSuccess(Envelope(Experiment, { status: 201 }))
      .addError(Failure("STALE_VERSION"))
      .addError(Failure("WRONG_STATE"))
      .addError(Failure("IDEMPOTENCY_MISMATCH"))
      .addError(Failure("IN_FLIGHT"))
      .middleware(permission("experiment:write"))
      .annotate(OpenApi.Summary, "A new experiment; 525 where its key is taken"),
  )
  .add(
    HttpApiEndpoint.get("get", "/admin/experiments/:key")
      .setPath(path)
      .addSuccess(Envelope(Experiment))
      .addError(Failure("NOT_FOUND"))
      .middleware(permission("experiment:read"))
      .annotate(OpenApi.Summary, "One experiment"),
  )
  .add(
    HttpApiEndpoint.put("change", "/admin/experiments/:key")
      .setPath(path)
      .setPayload(ChangeExperimentPayload)
      .addSuccess(Envelope(Experiment))
      .addError(Failure("NOT_FOUND"))
      .addError(Failure("STALE_VERSION"))
      .addError(Failure("WRONG_STATE"))
      .middleware(permission("experiment:write"))
      .annotate(OpenApi.Summary, "Change or start one; in force on every edge within a second"),
  )
  .add(
    HttpApiEndpoint.post("stop", "/admin/experiments/:key/stop")
      .setPath(path)
      .setHeaders(OptionalKey)
      .setPayload(StopExperimentPayload)
      .addSuccess(Envelope(Experiment))
      .addError(Failure("NOT_FOUND"))
      .addError(Failure("STALE_VERSION"))
      .addError(Failure("IDEMPOTENCY_MISMATCH"))
      .addError(Failure("IN_FLIGHT"))
      .middleware(permission("experiment:write"))
      .annotate(OpenApi.Summary, "Stop one for good: within a second nobody is in it any more"),
  )
  .add(
    HttpApiEndpoint.get("results", "/admin/experiments/:key/results")
      .setPath(path)
      .addSuccess(Envelope(ExperimentResults))
      .addError(Failure("NOT_FOUND"))
      .middleware(permission("experiment:read"))
      .annotate(OpenApi.Summary, "People by variant, with the rates' 95 % intervals"),
  )
