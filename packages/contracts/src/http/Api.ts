/**
 * Every route of the edge, once: types for handlers and clients, the OpenAPI document, the table of methods by path,
 * and the guards that a role matrix is read from.
 */
import * as HttpApi from "@effect/platform/HttpApi"
import * as OpenApi from "@effect/platform/OpenApi"
import { AdminLimitApi } from "./AdminLimitApi.ts"
import { AdminOrderApi } from "./AdminOrderApi.ts"
import { AdminPaymentApi } from "./AdminPaymentApi.ts"
import { AdminProductApi } from "./AdminProductApi.ts"
import { AdminUserApi } from "./AdminUserApi.ts"
import { AuditApi } from "./AuditApi.ts"
import { AuthApi } from "./AuthApi.ts"
import { ChallengeApi } from "./ChallengeApi.ts"
import { DeadLetterApi } from "./DeadLetterApi.ts"
import { DocumentApi } from "./DocumentApi.ts"
import { Failure } from "./Envelope.ts"
import { ExperimentAdminApi } from "./ExperimentAdminApi.ts"
import { ExperimentApi } from "./ExperimentApi.ts"
import { HealthApi } from "./HealthApi.ts"
import { KeyApi } from "./KeyApi.ts"
import { MediaApi } from "./MediaApi.ts"
import { OrderApi } from "./OrderApi.ts"
import { OverviewApi } from "./OverviewApi.ts"
import { PaymentApi } from "./PaymentApi.ts"
import { ProductApi } from "./ProductApi.ts"
import { PushApi, StreamApi } from "./PushApi.ts"
import { QueueApi } from "./QueueApi.ts"
import { ReconciliationApi } from "./ReconciliationApi.ts"
import { RiskAdminApi } from "./RiskAdminApi.ts"
import { RiskApi } from "./RiskApi.ts"
import { SaleApi } from "./SaleApi.ts"
import { SeckillApi } from "./SeckillApi.ts"
import { WalletApi } from "./WalletApi.ts"
import { WebhookApi } from "./WebhookApi.ts"

// HttpApi adds its own decode error to every endpoint; the edge answers those as code 400, so documents must not show it.
const withoutDecodeError = (spec: Record<string, any>): Record<string, any> => {
  const REF = "#/components/schemas/HttpApiDecodeError"
  const clean = (node: any): any => {
    if (Array.isArray(node)) return node.filter((item) => item?.$ref !== REF).map(clean)
    if (typeof node !== "object" || node === null) return node
    const entries = Object.entries(node).map(([key, value]) => [key, clean(value)])
    return Object.fromEntries(entries)
  }
  const cleaned = clean(spec)
  for (const name of ["HttpApiDecodeError", "Issue", "PropertyKey"]) delete cleaned.components.schemas[name]
  return cleaned
}

/** What the HttpApi server answers: all but the rush. */
export const RestApi = HttpApi.make("floodgate")
  .add(AuthApi)
  .add(ProductApi)
  .add(QueueApi)
  .add(ChallengeApi)
  .add(RiskApi)
  .add(OrderApi)
  .add(PaymentApi)
  .add(WalletApi)
  .add(ExperimentApi)
  .add(OverviewApi)
  .add(AdminUserApi)
  .add(AdminProductApi)
  .add(MediaApi)
  .add(SaleApi)
  .add(AdminOrderApi)
  .add(DeadLetterApi)
  .add(AdminPaymentApi)
  .add(WebhookApi)
  .add(AdminLimitApi)
  .add(RiskAdminApi)
  .add(ExperimentAdminApi)
  .add(AuditApi)
  .add(KeyApi)
  .add(ReconciliationApi)
  .add(PushApi)
  .add(HealthApi)
  .add(DocumentApi)
  // What any request can meet, whatever its route.
  .addError(Failure("INVALID_INPUT"))
  .addError(Failure("REQUEST_TIMEOUT"))
  .addError(Failure("BODY_TOO_LARGE"))
  .addError(Failure("UNSUPPORTED_MEDIA_TYPE"))
  .addError(Failure("RATE_LIMITED"))
  .addError(Failure("FREQUENCY_LIMITED"))
  .addError(Failure("ADDRESS_BLOCKED"))
  .addError(Failure("INTERNAL"))
  .addError(Failure("BUSY"))
  .annotate(OpenApi.Title, "Floodgate")
  .annotate(OpenApi.Version, "1.0.0")
  .annotate(
    OpenApi.Description,
    "Flash sales. Money is a whole number of minor units; times are RFC 3339 UTC; every JSON answer is {code, msg, data}.",
  )
  .annotate(OpenApi.Transform, withoutDecodeError)

/** The whole contract: {@link RestApi}, and what has a listener of its own: the rush and the event streams. */
export const Api = RestApi.add(SeckillApi).add(StreamApi)
