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

/** What each group of routes is about, for readers of the document. */
const groups: Readonly<Record<string, string>> = {
  auth: "Accounts, sessions and one's own profile",
  products: "What is on sale, and publishing it",
  queue: "Waiting rooms of hot products",
  challenge: "Proofs of work that some products ask for",
  risk: "How one stands with the risk rules",
  orders: "One's own orders: from queued to paid or cancelled",
  payments: "Payments, and the messages of their providers",
  wallet: "One's own balance",
  experiments: "Which experiments one is in",
  overview: "Console: how the sale goes",
  adminUsers: "Console: accounts, bans and roles",
  adminProducts: "Console: products and their stock",
  media: "Console: pictures of products",
  sale: "Console: pausing and resuming all sales",
  adminOrders: "Console: everybody's orders",
  deadLetters: "Console: messages that couldn't be applied",
  adminPayments: "Console: payments and refunds",
  webhooks: "Console: who is told of paid, cancelled and refunded orders",
  adminLimits: "Console: limits on requests",
  adminRisk: "Console: risk rules, address lists and what they decided",
  adminExperiments: "Console: experiments and their results",
  audit: "Console: who changed what, and why",
  keys: "Console: the keys that sign access tokens",
  reconciliation: "Console: whether the stores agree",
  push: "What surrounds event streams",
  health: "For balancers and supervisors",
  seckill: "The rush",
  streams: "Live changes",
}

// HttpApi adds its own decode error to every endpoint; the edge answers those as code 400, so documents must not show it.
const polished = (spec: Record<string, any>): Record<string, any> => {
  const REF = "#/components/schemas/HttpApiDecodeError"
  const clean = (node: any): any => {
    if (Array.isArray(node)) return node.filter((item) => item?.$ref !== REF).map(clean)
    if (typeof node !== "object" || node === null) return node
    const entries = Object.entries(node).map(([key, value]) => [key, clean(value)])
    const { anyOf, ...rest } = Object.fromEntries(entries)
    if (!Array.isArray(anyOf)) return Object.fromEntries(entries)
    // A status may have the same answer for several reasons; and of one thing there is no choice.
    const choices = [...new Map(anyOf.map((choice) => [JSON.stringify(choice), choice])).values()]
    return choices.length === 1 ? { ...rest, ...choices[0] } : { ...rest, anyOf: choices }
  }
  const cleaned = clean(spec)
  cleaned.tags = cleaned.tags.map((tag: any) => ({ ...tag, description: groups[tag.name] }))
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
  .annotate(OpenApi.License, { name: "Apache 2.0", url: "https://www.apache.org/licenses/LICENSE-2.0" })
  .annotate(OpenApi.Servers, [{ url: "/", description: "The edge that serves this document" }])
  .annotate(OpenApi.Transform, polished)

/** The whole contract: {@link RestApi}, and what has a listener of its own: the rush and the event streams. */
export const Api = RestApi.add(SeckillApi).add(StreamApi)
