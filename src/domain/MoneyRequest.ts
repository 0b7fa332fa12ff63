import { Context, type Effect, Schema } from "effect"
import { OperationId, UserId } from "./Ids.ts"
import { Problem } from "./Problem.ts"

/**
 * The right to move money, and the identity of the movement. Only the Idempotency middleware provides it, and that
 * requires what Authorization, RateLimit and Admission provide: a money route that lacks one of them does not compile.
 */
export interface MoneyRequest {
  readonly userId: UserId
  /** Names what this request creates. The same on every retry of the same key, so that a retry finds, not repeats. */
  readonly operationId: OperationId
  /** SHA-256, in hex, of who asks for what under which key: a permanent key for what is posted at once. */
  readonly scope: string
  /** SHA-256, in hex, of the decoded body: what a repetition of the key has to bring again. */
  readonly digest: string
  /** Marks the answer as that of an earlier request. */
  readonly replayed: Effect.Effect<void>
}
export const MoneyRequest = Context.Service<MoneyRequest>("midnight/domain/MoneyRequest")

export class IdempotencyKeyInvalid extends Problem<IdempotencyKeyInvalid>()("IdempotencyKeyInvalid", {
  type: "/problems/idempotency-key-invalid",
  status: 400,
  title: "The Idempotency-Key header is missing or malformed"
}, { code: Schema.tag("IdempotencyKeyInvalid") }) {}

export class IdempotencyKeyReused extends Problem<IdempotencyKeyReused>()("IdempotencyKeyReused", {
  type: "/problems/idempotency-key-reused",
  status: 422,
  title: "This Idempotency-Key was used with another body"
}, { code: Schema.tag("IdempotencyKeyReused") }) {}

export class IdempotencyKeyInFlight extends Problem<IdempotencyKeyInFlight>()("IdempotencyKeyInFlight", {
  type: "/problems/idempotency-key-in-flight",
  status: 409,
  title: "A request with this Idempotency-Key is still being worked on"
}, { code: Schema.tag("IdempotencyKeyInFlight"), retry_after: Schema.Int }) {}
