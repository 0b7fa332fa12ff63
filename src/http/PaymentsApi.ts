import { Schema } from "effect"
import { HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import { PaymentId } from "../domain/Ids.ts"
import { UnsupportedCurrency } from "../domain/Money.ts"
import { pageOf, pageQuery } from "../domain/Page.ts"
import {
  AmountNotAccepted,
  ChargeRequest,
  PaymentView,
  type Provider,
  ProviderNotConfigured,
  ProviderUnavailable,
  ReturnUrlNotAllowed,
  WebhookForged,
  WebhookOtherMode
} from "../domain/Payments.ts"
import { InvalidRequest, NotFound, TooManyRequests, Unavailable } from "../domain/Problem.ts"
import { PaymentDisputed, PaymentNotPaid, RefundExceeded, RefundRequest, RefundView } from "../domain/Refunds.ts"
import { InsufficientFunds } from "../domain/Wallet.ts"
import { Admission, AdmissionClass, AnsweredWithin } from "./middleware/Admission.ts"
import { Authorization } from "./middleware/Authorization.ts"
import { Idempotency, KeptBy } from "./middleware/Idempotency.ts"
import { forgedWebhooks } from "./middleware/Policies.ts"
import { RateLimit, RatePolicies } from "./middleware/RateLimit.ts"
import { AccessPolicy } from "./middleware/RoleRequired.ts"

const params = { id: PaymentId }

const charge = HttpApiEndpoint.post("charge", "/api/payment/charge", {
  payload: ChargeRequest,
  success: PaymentView.pipe(HttpApiSchema.status(201)),
  error: [
    UnsupportedCurrency,
    AmountNotAccepted,
    ReturnUrlNotAllowed,
    ProviderNotConfigured,
    ProviderUnavailable,
    Unavailable
  ]
})
  .annotate(KeptBy, "payments")
  .annotate(AdmissionClass, "payments")
  .middleware(Idempotency)

const list = HttpApiEndpoint.get("list", "/api/payment", {
  query: pageQuery,
  success: pageOf(PaymentView),
  error: [InvalidRequest, Unavailable]
})

const find = HttpApiEndpoint.get("find", "/api/payment/:id", {
  params,
  success: PaymentView,
  error: [NotFound, Unavailable]
})

const confirm = HttpApiEndpoint.post("confirm", "/api/payment/:id/confirm", {
  params,
  success: PaymentView,
  error: [NotFound, ProviderUnavailable, Unavailable]
}).annotate(AdmissionClass, "payments")

const refund = HttpApiEndpoint.post("refund", "/api/payment/:id/refunds", {
  params,
  payload: RefundRequest,
  success: RefundView.pipe(HttpApiSchema.status(201)),
  error: [NotFound, PaymentNotPaid, PaymentDisputed, RefundExceeded, AmountNotAccepted, InsufficientFunds, Unavailable]
})
  .annotate(KeptBy, "payments")
  .annotate(AdmissionClass, "payments")
  .middleware(Idempotency)

export class PaymentsApi extends HttpApiGroup.make("payments")
  .add(charge, list, find, confirm, refund)
  .annotateEndpoints(AccessPolicy, "signedIn")
  .middleware(Admission)
  .middleware(RateLimit)
  .middleware(Authorization)
{}

// The body stays bytes: a signature is over what was sent, not over what it parses to.
const webhook = <P extends Provider>(provider: P) =>
  HttpApiEndpoint.post(provider, `/api/webhooks/${provider}`, {
    payload: Schema.Uint8Array.pipe(HttpApiSchema.asUint8Array({ contentType: "application/json" })),
    success: Schema.Struct({ received: Schema.Literal(true) }),
    error: [WebhookForged, WebhookOtherMode, InvalidRequest, NotFound, TooManyRequests, Unavailable]
  }).annotate(AdmissionClass, "payments").annotate(AnsweredWithin, 1_800).annotate(RatePolicies, [forgedWebhooks])

/**
 * Signed events in. No token: the signature is the proof, and nothing is parsed before it is verified. Providers want an answer
 * within two seconds; what cannot be stored by then they send again.
 */
export class WebhooksApi extends HttpApiGroup.make("webhooks")
  .add(webhook("stripe"), webhook("paystack"), webhook("sandbox"))
  .middleware(Admission)
  .annotateMerge(OpenApi.annotations({ description: "Events of payment providers, signed by them" }))
  .annotateEndpoints(AccessPolicy, "anyone")
{}
