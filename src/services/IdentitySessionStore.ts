import { Context, DateTime, Effect, Layer, Option, Schema } from "effect"
import { SqlClient, type SqlError, SqlSchema } from "effect/sql"
import type { Device, PresentedToken, Session } from "../domain/Identity.ts"
import { SessionId, UserId } from "../domain/Ids.ts"
import { type Principal, Role } from "../domain/Principal.ts"
import { decoded } from "./Database.ts"
import { IdentitySettings } from "./IdentitySettings.ts"

const Time = Schema.DateTimeUtcFromDate
const TokenRow = Schema.Struct({
  session_id: SessionId,
  used_at: Schema.OptionFromNullOr(Time),
  idle_expires_at: Time,
  expires_at: Time,
  revoked_at: Schema.OptionFromNullOr(Time),
  user_id: UserId,
  roles: Schema.Array(Role),
  disabled_at: Schema.OptionFromNullOr(Time)
})
const SessionRow = Schema.Struct({
  id: SessionId,
  createdAt: Time,
  lastUsedAt: Time,
  expiresAt: Time,
  userAgent: Schema.OptionFromNullOr(Schema.String),
  address: Schema.OptionFromNullOr(Schema.String)
})
const SessionRef = Schema.Struct({ id: SessionId })

export type EndedBecause = "logout" | "reuse" | "owner" | "admin" | "password"

type Stored<A> = Effect.Effect<A, SqlError.SqlError>

/** Sessions and their refresh tokens. */
export class IdentitySessionStore extends Context.Service<IdentitySessionStore, {
  insertSession(session: {
    readonly id: SessionId
    readonly userId: UserId
    readonly refreshHash: Uint8Array
    readonly device: Device
  }, now: DateTime.Utc): Stored<void>
  /** Locks the token and its session until the transaction ends, so that parallel uses follow one another. */
  lockToken(hash: Uint8Array, successor: Uint8Array): Stored<
    Option.Option<{ readonly token: PresentedToken; readonly principal: Principal }>
  >
  rotateToken(
    spent: Uint8Array,
    successor: Uint8Array,
    session: PresentedToken,
    device: Device,
    now: DateTime.Utc
  ): Stored<void>
  /** Ends a session, of this user where one is named. False when it had ended, or is not theirs. */
  endSession(id: SessionId, because: EndedBecause, of: Option.Option<UserId>, now: DateTime.Utc): Stored<boolean>
  /** Ends what sessions a user has, but for one that may stay, and tells which. */
  endSessionsOf(
    userId: UserId,
    because: EndedBecause,
    except: Option.Option<SessionId>,
    now: DateTime.Utc
  ): Stored<ReadonlyArray<SessionId>>
  /** The sessions of a user that have not ended, newest first. */
  sessions(query: {
    readonly userId: UserId
    readonly before: Option.Option<SessionId>
    readonly limit: number
  }, now: DateTime.Utc): Stored<ReadonlyArray<Omit<Session, "current">>>
}>()("midnight/services/identity/IdentitySessionStore") {
  static readonly layer = Layer.effect(IdentitySessionStore, Effect.suspend(() => make))
}

// The 256 characters that the table takes tell a device from another; control characters tell nobody anything.
const agentOf = ({ userAgent }: Device) =>
  Option.getOrNull(
    Option.filter(
      Option.map(userAgent, (text) => text.replaceAll(/\p{Cc}/gu, "").slice(0, 256)),
      (text) => text !== ""
    )
  )

const make = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  const { session: limits } = yield* IdentitySettings

  const lockToken = SqlSchema.findOneOption({
    Request: Schema.Uint8Array,
    Result: TokenRow,
    execute: (hash) =>
      sql`SELECT t.session_id, t.used_at, s.idle_expires_at, s.expires_at, s.revoked_at, s.user_id,
                 u.roles, u.disabled_at
            FROM identity.refresh_tokens t
            JOIN identity.sessions s ON s.id = t.session_id
            JOIN identity.users u ON u.id = s.user_id
           WHERE t.hash = ${hash} FOR UPDATE OF t, s`
  })
  // A statement of its own, after the lock: a subquery of the one above would still see what was before it waited.
  const isSpent = (hash: Uint8Array) =>
    Effect.map(
      sql`SELECT 1 FROM identity.refresh_tokens WHERE hash = ${hash} AND used_at IS NOT NULL`,
      (rows) => rows.length > 0
    )

  // What a session was used from leaves with it.
  const ended = (because: EndedBecause, now: DateTime.Utc) =>
    sql`revoked_at = ${DateTime.toDateUtc(now)}, revoked_because = ${because}, user_agent = NULL, address = NULL`
  const endSession = (id: SessionId, because: EndedBecause, of: Option.Option<UserId>, now: DateTime.Utc) =>
    sql`UPDATE identity.sessions SET ${ended(because, now)}
         WHERE id = ${id} AND revoked_at IS NULL AND coalesce(${Option.getOrNull(of)}::uuid, user_id) = user_id
         RETURNING id`
  const endSessionsOf = SqlSchema.findAll({
    Request: Schema.Struct({
      userId: UserId,
      because: Schema.Literals(["logout", "reuse", "owner", "admin", "password"]),
      except: Schema.OptionFromNullOr(SessionId),
      now: Schema.DateTimeUtc
    }),
    Result: SessionRef,
    execute: ({ because, except, now, userId }) =>
      sql`UPDATE identity.sessions SET ${ended(because, now)}
           WHERE user_id = ${userId} AND revoked_at IS NULL AND id IS DISTINCT FROM ${except}::uuid RETURNING id`
  })
  const sessions = SqlSchema.findAll({
    Request: Schema.Struct({
      userId: UserId,
      before: Schema.OptionFromNullOr(SessionId),
      limit: Schema.Int,
      now: Time
    }),
    Result: SessionRow,
    execute: ({ before, limit, now, userId }) =>
      sql`SELECT id, created_at AS "createdAt", last_used_at AS "lastUsedAt", idle_expires_at AS "expiresAt",
                 user_agent AS "userAgent", address
            FROM identity.sessions
           WHERE user_id = ${userId} AND revoked_at IS NULL AND idle_expires_at > ${now}
             AND id < coalesce(${before}::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
           ORDER BY id DESC LIMIT ${limit}`
  })

  return IdentitySessionStore.of({
    insertSession: Effect.fnUntraced(function*({ device, id, refreshHash, userId }, now) {
      const at = DateTime.toDateUtc(now)
      const last = DateTime.addDuration(now, limits.absolute)
      const idle = DateTime.toDateUtc(DateTime.min(DateTime.addDuration(now, limits.idle), last))
      const end = DateTime.toDateUtc(last)
      yield* sql`WITH session AS (
          INSERT INTO identity.sessions
            (id, user_id, created_at, last_used_at, idle_expires_at, expires_at, user_agent, address)
          VALUES (${id}, ${userId}, ${at}, ${at}, ${idle}, ${end}, ${agentOf(device)}, ${device.address}) RETURNING id
        ) INSERT INTO identity.refresh_tokens (hash, session_id, issued_at)
          SELECT ${refreshHash}::bytea, id, ${at}::timestamptz FROM session`
    }),
    lockToken: Effect.fnUntraced(function*(hash, successor) {
      const found = yield* decoded(lockToken(hash))
      if (Option.isNone(found)) return Option.none()
      const row = found.value
      return Option.some({
        token: {
          sessionId: row.session_id,
          usedAt: row.used_at,
          succeeded: Option.isSome(row.used_at) && (yield* isSpent(successor)),
          idleExpiresAt: row.idle_expires_at,
          expiresAt: row.expires_at,
          revoked: Option.isSome(row.revoked_at),
          userDisabled: Option.isSome(row.disabled_at)
        },
        principal: { userId: row.user_id, sessionId: row.session_id, roles: row.roles }
      })
    }),
    rotateToken: Effect.fnUntraced(function*(spent, successor, session, device, now) {
      const at = DateTime.toDateUtc(now)
      const idle = DateTime.toDateUtc(DateTime.min(DateTime.addDuration(now, limits.idle), session.expiresAt))
      yield* sql`UPDATE identity.refresh_tokens SET used_at = ${at} WHERE hash = ${spent}`
      yield* sql`INSERT INTO identity.refresh_tokens (hash, session_id, issued_at)
                 VALUES (${successor}, ${session.sessionId}, ${at})`
      yield* sql`UPDATE identity.sessions SET last_used_at = ${at}, idle_expires_at = ${idle},
                        user_agent = ${agentOf(device)}, address = ${device.address}
                  WHERE id = ${session.sessionId}`
    }),
    endSession: (id, because, of, now) => Effect.map(endSession(id, because, of, now), (rows) => rows.length > 0),
    endSessionsOf: (userId, because, except, now) =>
      Effect.map(decoded(endSessionsOf({ userId, because, except, now })), (rows) => rows.map(({ id }) => id)),
    sessions: (query, now) => decoded(sessions({ ...query, now }))
  })
})
