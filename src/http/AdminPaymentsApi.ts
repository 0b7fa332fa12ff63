import { HttpApiEndpoint, HttpApiGroup, OpenApi } from "effect/http-api"
import { Flagged, FlaggedKind, FlaggedNow, flaggedQuery, FlagNotDecidable, FlagVerdict } from "../domain/Flags.ts"
import { OutgoingId, PayoutId } from "../domain/Ids.ts"
import { pageOf, pageQuery } from "../domain/Page.ts"
import { Provider, ProviderUnavailable } from "../domain/Payments.ts"
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

const one = { kind: FlaggedKind, id: OutgoingId }

const flagged = HttpApiEndpoint.get("flagged", "/api/admin/flagged", {
  query: flaggedQuery,
  success: pageOf(Flagged),
  error: [InvalidRequest, Unavailable]
}).annotate(OpenApi.Description, "Of one kind, newest first, and not decided yet; charges when none is given.")

const look = HttpApiEndpoint.get("look", "/api/admin/flagged/:kind/:id", {
  params: one,
  success: FlaggedNow,
  error: [NotFound, ProviderUnavailable, Unavailable]
}).annotate(OpenApi.Description, "With what its provider says when it is asked now.")

const decide = HttpApiEndpoint.post("decide", "/api/admin/flagged/:kind/:id/decision", {
  params: one,
  payload: FlagVerdict,
  success: Flagged,
  error: [NotFound, FlagNotDecidable, ProviderUnavailable, Unavailable]
}).annotate(AdmissionClass, "payments").annotate(
  OpenApi.Description,
  "`settle`: it is what its provider says, which is asked again. `release`: it is not paid, which is refused while the provider pays it."
)

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
  .add(payouts, approve, reject, flagged, look, decide, reports, reconcile, webhooks, replay)
  .annotateEndpoints(AccessPolicy, "admin")
  .middleware(RoleRequired)
  .middleware(Admission)
  .middleware(RateLimit)
  .middleware(Authorization)
  .annotateMerge(
    OpenApi.annotations({
      description: "For administrators: payouts, what is flagged, reconciliation, and events that came in"
    })
  )
{}
