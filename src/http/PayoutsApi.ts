import { HttpApiEndpoint, HttpApiGroup, HttpApiSchema } from "effect/http-api"
import { PayoutId } from "../domain/Ids.ts"
import { UnsupportedCurrency } from "../domain/Money.ts"
import { pageOf, pageQuery } from "../domain/Page.ts"
import { AmountNotAccepted, ProviderNotConfigured } from "../domain/Payments.ts"
import { IllegalPayoutTransition, PayoutLimit, PayoutRequest, PayoutView } from "../domain/Payouts.ts"
import { InvalidRequest, NotFound, TooManyRequests, Unavailable } from "../domain/Problem.ts"
import { InsufficientFunds } from "../domain/Wallet.ts"
import { Admission, AdmissionClass } from "./middleware/Admission.ts"
import { Authorization } from "./middleware/Authorization.ts"
import { Idempotency, KeptBy } from "./middleware/Idempotency.ts"
import { payouts } from "./middleware/Policies.ts"
import { RateLimit, RatePolicies } from "./middleware/RateLimit.ts"
import { AccessPolicy } from "./middleware/RoleRequired.ts"

const params = { id: PayoutId }

const create = HttpApiEndpoint.post("create", "/api/payment/payouts", {
  payload: PayoutRequest,
  success: PayoutView.pipe(HttpApiSchema.status(201)),
  error: [
    UnsupportedCurrency,
    AmountNotAccepted,
    ProviderNotConfigured,
    PayoutLimit,
    InsufficientFunds,
    TooManyRequests,
    Unavailable
  ]
})
  .annotate(KeptBy, "payments")
  .annotate(AdmissionClass, "payments")
  .annotate(RatePolicies, [payouts])
  .middleware(Idempotency)

const list = HttpApiEndpoint.get("list", "/api/payment/payouts", {
  query: pageQuery,
  success: pageOf(PayoutView),
  error: [InvalidRequest, Unavailable]
})

const find = HttpApiEndpoint.get("find", "/api/payment/payouts/:id", {
  params,
  success: PayoutView,
  error: [NotFound, Unavailable]
})

const cancel = HttpApiEndpoint.post("cancel", "/api/payment/payouts/:id/cancel", {
  params,
  success: PayoutView,
  error: [NotFound, IllegalPayoutTransition, Unavailable]
}).annotate(AdmissionClass, "payments")

export class PayoutsApi extends HttpApiGroup.make("payouts")
  .add(create, list, find, cancel)
  .annotateEndpoints(AccessPolicy, "signedIn")
  .middleware(Admission)
  .middleware(RateLimit)
  .middleware(Authorization)
{}
