import { Context } from "effect"
import { HttpApiMiddleware } from "effect/http-api"
import {
  IdempotencyKeyInFlight,
  IdempotencyKeyInvalid,
  IdempotencyKeyReused,
  type MoneyRequest
} from "../../domain/MoneyRequest.ts"
import type { CurrentUser } from "../../domain/Principal.ts"
import { Unavailable } from "../../domain/Problem.ts"
import type { Admitted } from "./Admission.ts"
import type { WithinLimits } from "./RateLimit.ts"

/**
 * Who keeps the key and the first answer: the bulkhead which does the work, in its own database. What is posted to the
 * ledger at once needs no more: the posting is the answer, its permanent key is made from the request's, and both are
 * written by the same commit.
 */
export type IdempotencyOwner = "ledger" | "payments" | "rewards" | "video"

export const KeptBy = Context.Reference<IdempotencyOwner>("midnight/http/KeptBy", { defaultValue: () => "ledger" })

/**
 * The Idempotency-Key contract (docs/adr/0011). It is the only source of a MoneyRequest, and it requires what
 * the three other middlewares provide, so a route that moves money cannot be declared without all of them.
 */
export class Idempotency extends HttpApiMiddleware.Service<Idempotency, {
  provides: MoneyRequest
  requires: CurrentUser | WithinLimits | Admitted
}>()("midnight/http/Idempotency", {
  error: [IdempotencyKeyInvalid, IdempotencyKeyReused, IdempotencyKeyInFlight, Unavailable]
}) {}
