import { Effect } from "effect"
import type { OperationId, UserId } from "../../src/domain/Ids.ts"
import type { MoneyRequest } from "../../src/domain/MoneyRequest.ts"

/** What the Idempotency middleware would hand to a service, for tests that call one without HTTP. */
export const moneyRequest = (userId: UserId, operationId: OperationId): MoneyRequest => ({
  userId,
  operationId,
  scope: operationId.replaceAll("-", "").padEnd(64, "0"),
  digest: operationId.replaceAll("-", "").padEnd(64, "0"),
  replayed: Effect.void
})
