import { Context, Effect, Layer, Option, Schema } from "effect"
import { SqlClient, SqlSchema } from "effect/sql"
import type { SqlError } from "effect/sql/SqlError"
import { OperationId, type UserId } from "../domain/Ids.ts"
import { decoded } from "./Database.ts"

/** A key is one caller's, for one method and path. */
export interface KeyScope {
  readonly userId: UserId
  readonly scope: string
  readonly key: string
}

/** The first answer, as it is given again. */
export interface StoredAnswer {
  readonly status: number
  readonly body: string
  readonly location: Option.Option<string>
}

export type Claim =
  | { readonly _tag: "Claimed"; readonly operationId: OperationId }
  | { readonly _tag: "Answered"; readonly answer: StoredAnswer }
  | { readonly _tag: "InFlight" }
  | { readonly _tag: "Reused" }

export interface IdempotencyKeys {
  /**
   * Claims a key for half a minute. A claim whose holder died is taken over, with the same operation id when the body is the
   * same, so that what the first attempt did is found and not done again.
   */
  claim(scope: KeyScope, requestHash: Uint8Array, fresh: OperationId): Effect.Effect<Claim, SqlError>
  /** Keeps the answer for good. */
  answer(scope: KeyScope, answer: StoredAnswer): Effect.Effect<void, SqlError>
  /** Nothing was written: the key is as good as unused. */
  forget(scope: KeyScope): Effect.Effect<void, SqlError>
  /** It is not known what was written: the key may be tried again at once, and means the same operation. */
  leave(scope: KeyScope): Effect.Effect<void, SqlError>
}

export class PaymentsKeys extends Context.Service<PaymentsKeys, IdempotencyKeys>()("midnight/services/PaymentsKeys") {}
export class RewardsKeys extends Context.Service<RewardsKeys, IdempotencyKeys>()("midnight/services/RewardsKeys") {}
export class VideoKeys extends Context.Service<VideoKeys, IdempotencyKeys>()("midnight/services/VideoKeys") {}

const Row = Schema.Struct({
  status: Schema.NullOr(Schema.Int),
  body: Schema.NullOr(Schema.String),
  location: Schema.OptionFromNullOr(Schema.String),
  same: Schema.Boolean
})

const make = (table: "payments" | "rewards" | "video") =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const keys = sql(`idempotency.${table}`)
    const mine = ({ key, scope, userId }: KeyScope) => sql`user_id = ${userId} AND scope = ${scope} AND key = ${key}`

    const claimed = ({ key, scope, userId }: KeyScope, hash: Uint8Array, fresh: OperationId) =>
      SqlSchema.findOneOption({
        Request: Schema.Void,
        Result: Schema.Struct({ id: OperationId }),
        execute: () =>
          sql`
          INSERT INTO ${keys} AS k (user_id, scope, key, operation_id, request_hash, claimed_until)
          VALUES (${userId}, ${scope}, ${key}, ${fresh}, ${hash}, now() + interval '30 seconds')
          ON CONFLICT (user_id, scope, key) DO UPDATE
            SET claimed_until = excluded.claimed_until,
                operation_id = CASE WHEN k.request_hash = excluded.request_hash THEN k.operation_id
                                    ELSE excluded.operation_id END,
                request_hash = excluded.request_hash
            WHERE k.status IS NULL AND k.claimed_until <= now()
          RETURNING operation_id AS id`
      })(undefined)

    const known = (scope: KeyScope, hash: Uint8Array) =>
      SqlSchema.findOneOption({
        Request: Schema.Void,
        Result: Row,
        execute: () =>
          sql`SELECT status, body, location, request_hash = ${hash} AS same FROM ${keys} WHERE ${mine(scope)}`
      })(undefined)

    const claim = Effect.fn("IdempotencyStore.claim")(
      function*(scope: KeyScope, hash: Uint8Array, fresh: OperationId): Effect.fn.Return<Claim, SqlError> {
        const claim = yield* decoded(claimed(scope, hash, fresh))
        if (Option.isSome(claim)) return { _tag: "Claimed", operationId: claim.value.id }
        const row = yield* decoded(known(scope, hash))
        // Its holder gave the key back between the two statements: the caller is told to come again.
        if (Option.isNone(row)) return { _tag: "InFlight" }
        const { body, location, same, status } = row.value
        if (!same) return { _tag: "Reused" }
        return status === null || body === null
          ? { _tag: "InFlight" }
          : { _tag: "Answered", answer: { status, body, location } }
      }
    )

    return {
      claim,
      answer: (scope: KeyScope, { body, location, status }: StoredAnswer) =>
        Effect.asVoid(sql`UPDATE ${keys} SET status = ${status}, body = ${body},
          location = ${Option.getOrNull(location)} WHERE ${mine(scope)} AND status IS NULL`),
      forget: (scope: KeyScope) => Effect.asVoid(sql`DELETE FROM ${keys} WHERE ${mine(scope)} AND status IS NULL`),
      leave: (scope: KeyScope) =>
        Effect.asVoid(sql`UPDATE ${keys} SET claimed_until = now() WHERE ${mine(scope)} AND status IS NULL`)
    }
  })

// The keys that a bulkhead keeps, in its own pool. Factories: each stands on the connections of its bulkhead.
export const paymentsKeys = () => Layer.effect(PaymentsKeys, make("payments"))
export const rewardsKeys = () => Layer.effect(RewardsKeys, make("rewards"))
export const videoKeys = () => Layer.effect(VideoKeys, make("video"))
