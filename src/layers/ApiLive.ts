import * as NodeCrypto from "@effect/platform-node/NodeCrypto"
import { Context, Effect, Layer } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { PrometheusMetrics } from "effect/observability"
import { AccountHandlers } from "../http/AccountHandlers.ts"
import { AdminHandlers } from "../http/AdminHandlers.ts"
import { AdminPaymentsHandlers } from "../http/AdminPaymentsHandlers.ts"
import { AdminUsersHandlers } from "../http/AdminUsersHandlers.ts"
import { Api } from "../http/Api.ts"
import { DeadLettersHandlers } from "../http/DeadLettersHandlers.ts"
import { IdentityHandlers } from "../http/IdentityHandlers.ts"
import { Admission } from "../http/middleware/Admission.ts"
import { AdmissionLive } from "../http/middleware/AdmissionLive.ts"
import { Authorization } from "../http/middleware/Authorization.ts"
import { AuthorizationLive } from "../http/middleware/AuthorizationLive.ts"
import { ClientAddress } from "../http/middleware/ClientAddress.ts"
import { Idempotency } from "../http/middleware/Idempotency.ts"
import { IdempotencyLive } from "../http/middleware/IdempotencyLive.ts"
import { Limits } from "../http/middleware/Limits.ts"
import { AddressRateLimit, RateLimit } from "../http/middleware/RateLimit.ts"
import { AddressRateLimitLive, RateLimitLive } from "../http/middleware/RateLimitLive.ts"
import { RoleRequired } from "../http/middleware/RoleRequired.ts"
import { RoleRequiredLive } from "../http/middleware/RoleRequiredLive.ts"
import * as Strangers from "../http/middleware/Strangers.ts"
import { PaymentsHandlers } from "../http/PaymentsHandlers.ts"
import { PayoutsHandlers } from "../http/PayoutsHandlers.ts"
import { ReviewHandlers } from "../http/ReviewHandlers.ts"
import { RewardsHandlers } from "../http/RewardsHandlers.ts"
import { DocumentationRoutes, SystemHandlers } from "../http/SystemHandlers.ts"
import { VideoHandlers } from "../http/VideoHandlers.ts"
import { WalletHandlers } from "../http/WalletHandlers.ts"
import { WebhookEndpointsHandlers } from "../http/WebhookEndpointsHandlers.ts"
import { WebhooksHandlers } from "../http/WebhooksHandlers.ts"
import { AccessTokens } from "../services/AccessTokens.ts"
import { AuditLog } from "../services/AuditLog.ts"
import { Campaigns } from "../services/Campaigns.ts"
import { DeadLetters } from "../services/DeadLetters.ts"
import { Flags } from "../services/Flags.ts"
import { Gateways } from "../services/Gateway.ts"
import { Health } from "../services/Health.ts"
import { Identity } from "../services/Identity.ts"
import { Accounts } from "../services/IdentityAccounts.ts"
import { IdentityAdmin } from "../services/IdentityAdmin.ts"
import { Credentials } from "../services/IdentityCredentials.ts"
import { Sessions } from "../services/IdentitySessions.ts"
import { LedgerAdmin } from "../services/LedgerAdmin.ts"
import { Payments } from "../services/Payments.ts"
import { Payouts } from "../services/Payouts.ts"
import { Readiness } from "../services/Readiness.ts"
import { Reconciliation } from "../services/Reconciliation.ts"
import { Refunds } from "../services/Refunds.ts"
import { Reviews } from "../services/Reviews.ts"
import { Videos } from "../services/Videos.ts"
import { Wallets } from "../services/Wallets.ts"
import { WebhookEndpoints } from "../services/WebhookEndpoints.ts"
import { Webhooks } from "../services/Webhooks.ts"
import * as Settings from "./Config.ts"
import * as Edge from "./EdgeSettings.ts"
import { serveHttp } from "./HttpServer.ts"
import { IdentityLive } from "./IdentityLive.ts"
import { LimitsLive } from "./LimitsLive.ts"
import { PaymentsLive } from "./PaymentsLive.ts"
import { RewardsLive } from "./RewardsLive.ts"
import { classesOf } from "./Shedding.ts"
import { VerdictsLive, VideoLive } from "./VideoLive.ts"
import { WalletLive } from "./WalletLive.ts"

/** The bulkheads of the API process. Each stands on a pool of its own; what they share is what they need of one another. */
export const Bulkheads = Layer.merge(DeadLetters.layer, Accounts.layer).pipe(
  Layer.provideMerge(Layer.mergeAll(VideoLive, PaymentsLive, AuditLog.layer)),
  Layer.provideMerge(RewardsLive.pipe(Layer.provide(VerdictsLive))),
  Layer.provideMerge(WalletLive),
  Layer.provideMerge(IdentityLive),
  Layer.provideMerge(Health.layer)
)

/** Authentication, limits, admission and idempotency, in front of every route that asks for them. */
const Perimeter = Layer.mergeAll(
  AuthorizationLive,
  RoleRequiredLive,
  RateLimitLive,
  AddressRateLimitLive,
  Layer.unwrap(Effect.map(Edge.admission, AdmissionLive)),
  IdempotencyLive
)

/**
 * HttpApi copies the context in which a group of handlers was built for every single request, and a whole process in it (75
 * services) cost more than a transfer's own work. So groups are built with what they take and nothing else; what is missing
 * from a list does not compile.
 */
const taking = <A, E, R>(
  take: (context: Context.Context<R>) => Context.Context<R>,
  handlers: Layer.Layer<A, E, R>
): Layer.Layer<A, E, R> =>
  Layer.fromBuild((memoMap, scope) => Effect.updateContext(Layer.buildWithMemoMap(handlers, memoMap, scope), take))

const Handlers = Layer.mergeAll(
  taking(Context.pick(Authorization, RateLimit, Admission, Idempotency, Limits, Wallets), WalletHandlers),
  taking(
    Context.pick(
      Authorization,
      RoleRequired,
      RateLimit,
      AddressRateLimit,
      Admission,
      Idempotency,
      ClientAddress,
      Limits,
      AccessTokens,
      Accounts,
      Credentials,
      Identity,
      IdentityAdmin,
      Sessions,
      AuditLog,
      DeadLetters,
      Health,
      Readiness,
      LedgerAdmin,
      Payments,
      Refunds,
      Payouts,
      Flags,
      Reconciliation,
      Webhooks,
      WebhookEndpoints,
      Gateways,
      Campaigns,
      Videos,
      Reviews
    ),
    Layer.mergeAll(
      IdentityHandlers,
      AccountHandlers,
      PaymentsHandlers,
      PayoutsHandlers,
      WebhooksHandlers,
      WebhookEndpointsHandlers,
      RewardsHandlers,
      VideoHandlers,
      ReviewHandlers,
      AdminHandlers,
      AdminUsersHandlers,
      DeadLettersHandlers,
      AdminPaymentsHandlers,
      SystemHandlers
    )
  )
)

/** Every route of the API. */
export const ApiRoutes = Layer.mergeAll(
  HttpApiBuilder.layer(Api).pipe(Layer.provide(Handlers), Layer.provide(Perimeter), Layer.provide(LimitsLive)),
  DocumentationRoutes,
  PrometheusMetrics.layerHttp()
)

/** The API process: its routes behind the HTTP edge on PORT, over the bulkheads. */
export const ApiLive = Layer.unwrap(Effect.gen(function*() {
  const { most, mostArriving, mostOfWebhook } = yield* Edge.bodies
  return serveHttp(ApiRoutes, {
    ...(yield* Edge.connections),
    ...(yield* Edge.requests),
    port: yield* Settings.port("PORT", 3000),
    host: yield* Settings.host,
    portVariable: "PORT",
    corsOrigins: yield* Settings.corsOrigins,
    lean: true,
    strangers: yield* Strangers.ofApi,
    shedding: { classOf: classesOf(Api), limits: yield* Edge.unanswered, mostArriving },
    maxBodyBytes: (route) => route?.startsWith("/api/webhooks/") === true ? mostOfWebhook : most
  })
})).pipe(Layer.provide(LimitsLive), Layer.provide(Bulkheads), Layer.provide(NodeCrypto.layerMac))
