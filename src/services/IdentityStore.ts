import { Array as Arr, Context, DateTime, Effect, Layer, Option, Schema } from "effect"
import { SqlClient, type SqlError, SqlSchema } from "effect/sql"
import { Email, loginLimits, type PresentedToken, sessionLimits, type User } from "../domain/Identity.ts"
import { SessionId, UserId } from "../domain/Ids.ts"
import { type Principal, Role } from "../domain/Principal.ts"

const Time = Schema.DateTimeUtcFromDate
const UserRow = Schema.Struct({
  id: UserId,
  email: Email,
  display_name: Schema.OptionFromNullOr(Schema.String),
  roles: Schema.Array(Role),
  password_hash: Schema.String,
  email_verified_at: Schema.OptionFromNullOr(Time),
  disabled_at: Schema.OptionFromNullOr(Time),
  created_at: Time
})
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
const FailureRow = Schema.Struct({ failed_at: Time })

/** An account with what only sign-in needs of it. */
export interface Account {
  readonly user: User
  readonly passwordHash: string
  readonly disabled: boolean
}

export interface NewUser {
  readonly id: UserId
  readonly email: Email
  readonly displayName: Option.Option<string>
  readonly roles: ReadonlyArray<Role>
  readonly passwordHash: string
}

export interface Failure {
  readonly account: Uint8Array
  readonly address: string
}

const accountOf = (row: typeof UserRow.Type): Account => ({
  user: {
    id: row.id,
    email: row.email,
    displayName: row.display_name,
    roles: row.roles,
    emailVerified: Option.isSome(row.email_verified_at),
    createdAt: row.created_at
  },
  passwordHash: row.password_hash,
  disabled: Option.isSome(row.disabled_at)
})

/** A row that does not decode is a fault of ours (a column and its schema disagree), not an answer. */
const trusted = <A, E, R>(query: Effect.Effect<A, E | Schema.SchemaError, R>) =>
  Effect.catchIf(query, Schema.isSchemaError, Effect.die)

type Stored<A> = Effect.Effect<A, SqlError.SqlError>

/** The identity bulkhead's tables. */
export class IdentityStore extends Context.Service<IdentityStore, {
  transaction<A, E, R>(work: Effect.Effect<A, E, R>): Effect.Effect<A, E | SqlError.SqlError, R>
  /** None when the address is taken. */
  insertUser(user: NewUser, now: DateTime.Utc): Stored<Option.Option<User>>
  findByEmail(email: Email): Stored<Option.Option<Account>>
  findById(id: UserId): Stored<Option.Option<Account>>
  /** Which of these belong to accounts that are not disabled. */
  activeAmong(ids: ReadonlyArray<UserId>): Stored<ReadonlySet<string>>
  setDisplayName(id: UserId, name: Option.Option<string>, now: DateTime.Utc): Stored<Option.Option<User>>
  setRoles(id: UserId, roles: ReadonlyArray<Role>, now: DateTime.Utc): Stored<Option.Option<User>>
  setPasswordHash(id: UserId, hash: string, now: DateTime.Utc): Stored<void>
  insertSession(id: SessionId, userId: UserId, refreshHash: Uint8Array, now: DateTime.Utc): Stored<void>
  /** Locks the token and its session until the transaction ends, so that parallel uses follow one another. */
  lockToken(hash: Uint8Array): Stored<
    Option.Option<{ readonly token: PresentedToken; readonly principal: Principal }>
  >
  rotateToken(spent: Uint8Array, successor: Uint8Array, session: PresentedToken, now: DateTime.Utc): Stored<void>
  revokeSession(id: SessionId, because: "logout" | "reuse", now: DateTime.Utc): Stored<void>
  /** When the oldest of the failures that fill the limit happened; none while there is room. */
  failuresFilling(failure: Failure, now: DateTime.Utc): Stored<Option.Option<DateTime.Utc>>
  insertFailure(failure: Failure, now: DateTime.Utc): Stored<void>
  /** Deletes a bounded number of sessions and failures that can no longer matter. */
  sweep(now: DateTime.Utc): Stored<void>
}>()("midnight/services/identity/IdentityStore") {
  static readonly layer = Layer.effect(
    IdentityStore,
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const columns = sql.literal(
        "id, email, display_name, roles, password_hash, email_verified_at, disabled_at, created_at"
      )

      const byEmail = SqlSchema.findOneOption({
        Request: Email,
        Result: UserRow,
        execute: (email) => sql`SELECT ${columns} FROM identity.users WHERE email = ${email}`
      })
      const byId = SqlSchema.findOneOption({
        Request: UserId,
        Result: UserRow,
        execute: (id) => sql`SELECT ${columns} FROM identity.users WHERE id = ${id}`
      })
      const insertUser = SqlSchema.findOneOption({
        Request: Schema.Struct({
          id: UserId,
          email: Email,
          displayName: Schema.OptionFromNullOr(Schema.String),
          roles: Schema.Array(Role),
          passwordHash: Schema.String,
          now: Time
        }),
        Result: UserRow,
        execute: (user) =>
          sql`INSERT INTO identity.users (id, email, display_name, roles, password_hash, created_at, updated_at)
              VALUES (${user.id}, ${user.email}, ${user.displayName}, ${user.roles}, ${user.passwordHash},
                      ${user.now}, ${user.now})
              ON CONFLICT (email) DO NOTHING RETURNING ${columns}`
      })
      const setDisplayName = SqlSchema.findOneOption({
        Request: Schema.Struct({ id: UserId, name: Schema.OptionFromNullOr(Schema.String), now: Time }),
        Result: UserRow,
        execute: ({ id, name, now }) =>
          sql`UPDATE identity.users SET display_name = ${name}, updated_at = ${now} WHERE id = ${id} RETURNING ${columns}`
      })
      const setRoles = SqlSchema.findOneOption({
        Request: Schema.Struct({ id: UserId, roles: Schema.Array(Role), now: Time }),
        Result: UserRow,
        execute: ({ id, now, roles }) =>
          sql`UPDATE identity.users SET roles = ${roles}, updated_at = ${now} WHERE id = ${id} RETURNING ${columns}`
      })
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
      const failures = (which: "account" | "address", limit: number) =>
        SqlSchema.findOneOption({
          Request: Schema.Struct({ value: Schema.Union([Schema.Uint8Array, Schema.String]), since: Time }),
          Result: FailureRow,
          execute: ({ since, value }) =>
            sql`SELECT failed_at FROM identity.login_failures WHERE ${sql(which)} = ${value} AND failed_at > ${since}
                 ORDER BY failed_at DESC LIMIT 1 OFFSET ${limit - 1}`
        })
      const ofAccount = failures("account", loginLimits.account)
      const ofAddress = failures("address", loginLimits.address)
      const userOf = Option.map((row: typeof UserRow.Type) => accountOf(row).user)

      return IdentityStore.of({
        transaction: sql.withTransaction,
        insertUser: (user, now) => trusted(Effect.map(insertUser({ ...user, now }), userOf)),
        findByEmail: (email) => trusted(Effect.map(byEmail(email), Option.map(accountOf))),
        activeAmong: (ids) =>
          Effect.map(
            sql<{ readonly id: string }>`
              SELECT id FROM identity.users WHERE id = ANY(${[...ids]}::uuid[]) AND disabled_at IS NULL`,
            (rows) => new Set(rows.map(({ id }) => id))
          ),
        findById: (id) => trusted(Effect.map(byId(id), Option.map(accountOf))),
        setDisplayName: (id, name, now) => trusted(Effect.map(setDisplayName({ id, name, now }), userOf)),
        setRoles: (id, roles, now) => trusted(Effect.map(setRoles({ id, roles, now }), userOf)),
        setPasswordHash: (id, hash, now) =>
          sql`UPDATE identity.users SET password_hash = ${hash}, updated_at = ${DateTime.toDateUtc(now)}
               WHERE id = ${id}`.pipe(Effect.asVoid),
        insertSession: Effect.fnUntraced(function*(id, userId, refreshHash, now) {
          const at = DateTime.toDateUtc(now)
          const idle = DateTime.toDateUtc(DateTime.addDuration(now, sessionLimits.idle))
          const end = DateTime.toDateUtc(DateTime.addDuration(now, sessionLimits.absolute))
          yield* sql`WITH session AS (
              INSERT INTO identity.sessions (id, user_id, created_at, last_used_at, idle_expires_at, expires_at)
              VALUES (${id}, ${userId}, ${at}, ${at}, ${idle}, ${end}) RETURNING id
            ) INSERT INTO identity.refresh_tokens (hash, session_id, issued_at)
              SELECT ${refreshHash}::bytea, id, ${at}::timestamptz FROM session`
        }),
        lockToken: (hash) =>
          trusted(Effect.map(
            lockToken(hash),
            Option.map((row) => ({
              token: {
                sessionId: row.session_id,
                usedAt: row.used_at,
                idleExpiresAt: row.idle_expires_at,
                expiresAt: row.expires_at,
                revoked: Option.isSome(row.revoked_at),
                userDisabled: Option.isSome(row.disabled_at)
              },
              principal: { userId: row.user_id, sessionId: row.session_id, roles: row.roles }
            }))
          )),
        rotateToken: Effect.fnUntraced(function*(spent, successor, session, now) {
          const at = DateTime.toDateUtc(now)
          const idle = DateTime.toDateUtc(
            DateTime.min(DateTime.addDuration(now, sessionLimits.idle), session.expiresAt)
          )
          yield* sql`UPDATE identity.refresh_tokens SET used_at = ${at} WHERE hash = ${spent}`
          yield* sql`INSERT INTO identity.refresh_tokens (hash, session_id, issued_at)
                     VALUES (${successor}, ${session.sessionId}, ${at})`
          yield* sql`UPDATE identity.sessions SET last_used_at = ${at}, idle_expires_at = ${idle}
                      WHERE id = ${session.sessionId}`
        }),
        revokeSession: (id, because, now) =>
          sql`UPDATE identity.sessions SET revoked_at = ${DateTime.toDateUtc(now)}, revoked_because = ${because}
               WHERE id = ${id} AND revoked_at IS NULL`.pipe(Effect.asVoid),
        failuresFilling: Effect.fnUntraced(function*({ account, address }, now) {
          const since = DateTime.subtractDuration(now, loginLimits.window)
          const filling = [
            yield* trusted(ofAccount({ value: account, since })),
            yield* trusted(ofAddress({ value: address, since }))
          ]
          return Arr.reduce(
            Arr.getSomes(filling),
            Option.none<DateTime.Utc>(),
            (latest, { failed_at }) =>
              Option.some(Option.isSome(latest) ? DateTime.max(latest.value, failed_at) : failed_at)
          )
        }),
        insertFailure: ({ account, address }, now) =>
          sql`INSERT INTO identity.login_failures (account, address, failed_at)
              VALUES (${account}, ${address}, ${DateTime.toDateUtc(now)})`.pipe(Effect.asVoid),
        sweep: Effect.fnUntraced(function*(now) {
          const at = DateTime.toDateUtc(now)
          const before = DateTime.toDateUtc(DateTime.subtractDuration(now, loginLimits.window))
          yield* sql`DELETE FROM identity.sessions WHERE id IN (SELECT id FROM identity.sessions
                      WHERE idle_expires_at <= ${at} ORDER BY idle_expires_at LIMIT 1000)`
          yield* sql`DELETE FROM identity.login_failures WHERE id IN (SELECT id FROM identity.login_failures
                      WHERE failed_at <= ${before} ORDER BY failed_at LIMIT 10000)`
        })
      })
    })
  )
}
