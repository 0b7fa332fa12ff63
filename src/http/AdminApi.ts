import { HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import { AuditEntry } from "../domain/IdentityAdmin.ts"
import { TransferId } from "../domain/Ids.ts"
import {
  AdjustmentRequest,
  InvariantReport,
  LedgerAct,
  ReversalExceeded,
  ReversalRequest
} from "../domain/LedgerAdmin.ts"
import { UnsupportedCurrency } from "../domain/Money.ts"
import { IdempotencyKeyReused } from "../domain/MoneyRequest.ts"
import { pageOf, pageQuery } from "../domain/Page.ts"
import { InvalidRequest, NotFound, Unavailable } from "../domain/Problem.ts"
import { BalanceLimit, InsufficientFunds } from "../domain/Wallet.ts"
import { Admission, AdmissionClass } from "./middleware/Admission.ts"
import { Authorization } from "./middleware/Authorization.ts"
import { Idempotency, KeptBy } from "./middleware/Idempotency.ts"
import { RateLimit } from "./middleware/RateLimit.ts"
import { AccessPolicy, RoleRequired } from "./middleware/RoleRequired.ts"

const posting = [NotFound, InsufficientFunds, BalanceLimit, IdempotencyKeyReused, Unavailable] as const

const adjust = HttpApiEndpoint.post("adjust", "/api/admin/adjustments", {
  payload: AdjustmentRequest,
  success: LedgerAct.pipe(HttpApiSchema.status(201)),
  error: [...posting, UnsupportedCurrency]
}).annotate(KeptBy, "ledger").annotate(AdmissionClass, "payments").middleware(Idempotency)

const reverse = HttpApiEndpoint.post("reverse", "/api/admin/transfers/:id/reversals", {
  params: { id: TransferId },
  payload: ReversalRequest,
  success: LedgerAct.pipe(HttpApiSchema.status(201)),
  error: [...posting, ReversalExceeded]
}).annotate(KeptBy, "ledger").annotate(AdmissionClass, "payments").middleware(Idempotency)

const auditLog = HttpApiEndpoint.get("auditLog", "/api/admin/audit-log", {
  query: pageQuery,
  success: pageOf(AuditEntry),
  error: [InvalidRequest, Unavailable]
}).annotate(
  OpenApi.Description,
  "Newest first: what happened to accounts and what administrators did, whichever part of the system it was in."
)

const invariants = HttpApiEndpoint.get("invariants", "/api/admin/invariants", {
  success: InvariantReport,
  error: Unavailable
})

export class AdminApi extends HttpApiGroup.make("admin")
  .add(adjust, reverse, auditLog, invariants)
  .annotateEndpoints(AccessPolicy, "admin")
  .middleware(RoleRequired)
  .middleware(Admission)
  .middleware(RateLimit)
  .middleware(Authorization)
  .annotateMerge(OpenApi.annotations({ description: "For administrators: the ledger's books and corrections to them" }))
{}
