import { Context, DateTime, Effect, Layer, Option, Schema } from "effect"
import { SqlClient, type SqlError, SqlSchema } from "effect/sql"
import type { TokenPurpose } from "../domain/Identity.ts"
import { UserId } from "../domain/Ids.ts"
import { decoded } from "./Database.ts"
import { IdentitySettings } from "./IdentitySettings.ts"

const Time = Schema.DateTimeUtcFromDate
const Presented = Schema.Struct({
  hash: Schema.Uint8Array,
  purpose: Schema.Literals(["verify_email", "reset_password"]),
  now: Time
})
const Holder = Schema.Struct({ userId: UserId })
const holderOf = ({ userId }: typeof Holder.Type) => userId

type Stored<A> = Effect.Effect<A, SqlError.SqlError>

/** Tokens that are sent by mail. Only their SHA-256 is here. */
export class IdentityTokenStore extends Context.Service<IdentityTokenStore, {
  /** False when the account was sent as many of this kind within the hour as it may be. */
  issue(token: {
    readonly hash: Uint8Array
    readonly userId: UserId
    readonly purpose: TokenPurpose
  }, now: DateTime.Utc): Stored<boolean>
  /** Its mail was not sent: it does not count. */
  notSent(hash: Uint8Array): Stored<void>
  /** Whose token this is, while it is good. */
  holder(hash: Uint8Array, purpose: TokenPurpose, now: DateTime.Utc): Stored<Option.Option<UserId>>
  /** The same, and uses it up: of two uses at once one is answered none. */
  use(hash: Uint8Array, purpose: TokenPurpose, now: DateTime.Utc): Stored<Option.Option<UserId>>
  /** Uses up what other tokens of this kind the account has. */
  useUp(userId: UserId, purpose: TokenPurpose, now: DateTime.Utc): Stored<void>
  forget(userId: UserId): Stored<void>
}>()("midnight/services/identity/IdentityTokenStore") {
  static readonly layer = Layer.effect(
    IdentityTokenStore,
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const { oneTimeTokens } = yield* IdentitySettings
      const holder = SqlSchema.findOneOption({
        Request: Presented,
        Result: Holder,
        execute: ({ hash, now, purpose }) =>
          sql`SELECT user_id AS "userId" FROM identity.one_time_tokens
               WHERE hash = ${hash} AND purpose = ${purpose} AND used_at IS NULL AND expires_at > ${now}`
      })
      const use = SqlSchema.findOneOption({
        Request: Presented,
        Result: Holder,
        execute: ({ hash, now, purpose }) =>
          sql`UPDATE identity.one_time_tokens SET used_at = ${now}
               WHERE hash = ${hash} AND purpose = ${purpose} AND used_at IS NULL AND expires_at > ${now}
               RETURNING user_id AS "userId"`
      })
      return IdentityTokenStore.of({
        issue: Effect.fnUntraced(function*({ hash, purpose, userId }, now) {
          const at = DateTime.toDateUtc(now)
          const end = DateTime.toDateUtc(DateTime.addDuration(now, oneTimeTokens.life[purpose]))
          const hour = DateTime.toDateUtc(DateTime.subtract(now, { hours: 1 }))
          const rows = yield* sql`
            INSERT INTO identity.one_time_tokens (hash, user_id, purpose, issued_at, expires_at)
            SELECT ${hash}::bytea, ${userId}::uuid, ${purpose}::text, ${at}::timestamptz, ${end}::timestamptz
             WHERE (SELECT count(*) FROM identity.one_time_tokens
                     WHERE user_id = ${userId} AND purpose = ${purpose} AND issued_at > ${hour} AND NOT not_sent)
                   < ${oneTimeTokens.mostPerHour}
            RETURNING user_id`
          return rows.length > 0
        }),
        notSent: (hash) =>
          sql`UPDATE identity.one_time_tokens SET not_sent = true WHERE hash = ${hash}`.pipe(Effect.asVoid),
        holder: (hash, purpose, now) => Effect.map(decoded(holder({ hash, purpose, now })), Option.map(holderOf)),
        use: (hash, purpose, now) => Effect.map(decoded(use({ hash, purpose, now })), Option.map(holderOf)),
        useUp: (userId, purpose, now) =>
          sql`UPDATE identity.one_time_tokens SET used_at = ${DateTime.toDateUtc(now)}
               WHERE user_id = ${userId} AND purpose = ${purpose} AND used_at IS NULL`.pipe(Effect.asVoid),
        forget: (userId) => sql`DELETE FROM identity.one_time_tokens WHERE user_id = ${userId}`.pipe(Effect.asVoid)
      })
    })
  )
}
