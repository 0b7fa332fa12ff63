import { HttpApiEndpoint, HttpApiGroup, OpenApi } from "effect/http-api"
import { PayoutId } from "../domain/Ids.ts"
import { pageOf, pageQuery } from "../domain/Page.ts"
import { Provider } from "../domain/Payments.ts"
import { AdminPayout, adminPayoutQuery, IllegalPayoutTransition, PayoutDecision } from "../domain/Payouts.ts"
import { InvalidRequest, NotFound, Unavailable } from "../domain/Problem.ts"
import {
  EventId,
  InboxEvent,
  inboxQuery,
  ReconciliationReport,
  ReconciliationRequest,
  Replayed
} from "../domain/Reconciliation.ts"
import { Admission, AdmissionClass } from "./middleware/Admission.ts"
import { Authorization } from "./middleware/Authorization.ts"
import { RateLimit } from "./middleware/RateLimit.ts"
import { AccessPolicy, RoleRequired } from "./middleware/RoleRequired.ts"

const params = { id: PayoutId }

const payouts = HttpApiEndpoint.get("payouts", "/api/admin/payouts", {
  query: adminPayoutQuery,
  success: pageOf(AdminPayout),
  error: [InvalidRequest, Unavailable]
}).annotate(OpenApi.Description, "In one status, newest first; those that wait for approval when none is given.")

const approve = HttpApiEndpoint.post("approve", "/api/admin/payouts/:id/approve", {
  params,
  payload: PayoutDecision,
  success: AdminPayout,
  error: [NotFound, IllegalPayoutTransition, Unavailable]
}).annotate(AdmissionClass, "payments")

const reject = HttpApiEndpoint.post("reject", "/api/admin/payouts/:id/reject", {
  params,
  payload: PayoutDecision,
  success: AdminPayout,
  error: [NotFound, IllegalPayoutTransition, Unavailable]
}).annotate(AdmissionClass, "payments")

const reports = HttpApiEndpoint.get("reports", "/api/admin/reconciliation", {
  query: pageQuery,
  success: pageOf(ReconciliationReport),
  error: [InvalidRequest, Unavailable]
})

const reconcile = HttpApiEndpoint.post("reconcile", "/api/admin/reconciliation", {
  payload: ReconciliationRequest,
  success: ReconciliationReport,
  error: Unavailable
}).annotate(OpenApi.Description, "Reads the providers' lists now, repairs what lags behind and reports what differs.")

const webhooks = HttpApiEndpoint.get("webhooks", "/api/admin/webhooks", {
  query: inboxQuery,
  success: pageOf(InboxEvent),
  error: [InvalidRequest, Unavailable]
})

const replay = HttpApiEndpoint.post("replay", "/api/admin/webhooks/:provider/:eventId/replay", {
  params: { provider: Provider, eventId: EventId },
  success: Replayed,
  error: [NotFound, Unavailable]
})

export class AdminPaymentsApi extends HttpApiGroup.make("adminPayments")
  .add(payouts, approve, reject, reports, reconcile, webhooks, replay)
  .annotateEndpoints(AccessPolicy, "admin")
  .middleware(RoleRequired)
  .middleware(Admission)
  .middleware(RateLimit)
  .middleware(Authorization)
  .annotateMerge(
    OpenApi.annotations({ description: "For administrators: payouts, reconciliation, and events that came in" })
  )
{}
