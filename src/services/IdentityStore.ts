import { Array as Arr, Context, DateTime, Effect, Layer, Option, Schema } from "effect"
import { SqlClient, type SqlError, SqlSchema } from "effect/sql"
import { Email, type User } from "../domain/Identity.ts"
import { UserId } from "../domain/Ids.ts"
import { Role } from "../domain/Principal.ts"
import { decoded } from "./Database.ts"
import { IdentitySettings } from "./IdentitySettings.ts"

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

/** An account with what only sign-in needs of it. */
export interface Account {
  readonly user: User
  readonly passwordHash: string
  readonly disabledAt: Option.Option<DateTime.Utc>
}

export interface NewUser {
  readonly id: UserId
  readonly email: Email
  readonly displayName: Option.Option<string>
  readonly roles: ReadonlyArray<Role>
  readonly passwordHash: string
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
  disabledAt: row.disabled_at
})

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
  setRoles(id: UserId, roles: ReadonlyArray<Role>, now: DateTime.Utc): Stored<Option.Option<Account>>
  /**
   * False when the account has been erased in the meantime, or has another hash than the one that was proven, where one is named:
   * hashing takes long enough for that.
   */
  setPasswordHash(id: UserId, hash: string, proven: Option.Option<string>, now: DateTime.Utc): Stored<boolean>
  /** Whether the account still has this hash and is not disabled; until the transaction ends neither can change. */
  holdPassword(id: UserId, hash: string): Stored<boolean>
  setEmailVerified(id: UserId, now: DateTime.Utc): Stored<void>
  setDisabled(id: UserId, disabled: boolean, now: DateTime.Utc): Stored<Option.Option<Account>>
  /** The id of the revocation that this transaction wrote about the account; undefined where it changed nothing of its standing. */
  revocationOf(id: UserId): Stored<bigint | undefined>
  /** Leaves the id and the roles: nothing that tells who it was. */
  erase(id: UserId, now: DateTime.Utc): Stored<void>
  /** Accounts that are not erased, newest first, older than `before`. */
  list(before: Option.Option<UserId>, limit: number): Stored<ReadonlyArray<Account>>
  /** Deletes a bounded number of sessions, tokens, failures and revocations that can no longer matter. */
  sweep(now: DateTime.Utc): Stored<void>
}>()("midnight/services/identity/IdentityStore") {
  static readonly layer = Layer.effect(
    IdentityStore,
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const { failures } = yield* IdentitySettings
      const longestWindow = Math.max(failures.account.windowSeconds, failures.address.windowSeconds)
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
        execute: (id) => sql`SELECT ${columns} FROM identity.users WHERE id = ${id} AND erased_at IS NULL`
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
          sql`UPDATE identity.users SET display_name = ${name}, updated_at = ${now} WHERE id = ${id} AND erased_at IS NULL
               RETURNING ${columns}`
      })
      const setRoles = SqlSchema.findOneOption({
        Request: Schema.Struct({ id: UserId, roles: Schema.Array(Role), now: Time }),
        Result: UserRow,
        execute: ({ id, now, roles }) =>
          sql`UPDATE identity.users SET roles = ${roles}, updated_at = ${now} WHERE id = ${id} AND erased_at IS NULL
               RETURNING ${columns}`
      })
      const setDisabled = SqlSchema.findOneOption({
        Request: Schema.Struct({ id: UserId, disabled: Schema.Boolean, now: Time }),
        Result: UserRow,
        execute: ({ disabled, id, now }) =>
          sql`UPDATE identity.users SET updated_at = ${now},
                     disabled_at = CASE WHEN ${disabled}::boolean THEN coalesce(disabled_at, ${now}::timestamptz) END
               WHERE id = ${id} AND erased_at IS NULL RETURNING ${columns}`
      })
      const list = SqlSchema.findAll({
        Request: Schema.Struct({ before: Schema.OptionFromNullOr(UserId), limit: Schema.Int }),
        Result: UserRow,
        execute: ({ before, limit }) =>
          sql`SELECT ${columns} FROM identity.users
               WHERE erased_at IS NULL AND id < coalesce(${before}::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
               ORDER BY id DESC LIMIT ${limit}`
      })
      const userOf = Option.map((row: typeof UserRow.Type) => accountOf(row).user)

      return IdentityStore.of({
        transaction: sql.withTransaction,
        insertUser: (user, now) => decoded(Effect.map(insertUser({ ...user, now }), userOf)),
        findByEmail: (email) => decoded(Effect.map(byEmail(email), Option.map(accountOf))),
        activeAmong: (ids) =>
          Effect.map(
            sql<{ readonly id: string }>`
              SELECT id FROM identity.users WHERE id = ANY(${[...ids]}::uuid[]) AND disabled_at IS NULL`,
            (rows) => new Set(rows.map(({ id }) => id))
          ),
        findById: (id) => decoded(Effect.map(byId(id), Option.map(accountOf))),
        setDisplayName: (id, name, now) => decoded(Effect.map(setDisplayName({ id, name, now }), userOf)),
        setRoles: (id, roles, now) => decoded(Effect.map(setRoles({ id, roles, now }), Option.map(accountOf))),
        setPasswordHash: (id, hash, proven, now) =>
          sql`UPDATE identity.users SET password_hash = ${hash}, updated_at = ${DateTime.toDateUtc(now)}
               WHERE id = ${id} AND erased_at IS NULL
                 AND password_hash = coalesce(${Option.getOrNull(proven)}::text, password_hash)
               RETURNING id`.pipe(Effect.map((rows) => rows.length > 0)),
        holdPassword: (id, hash) =>
          sql`SELECT id FROM identity.users WHERE id = ${id} AND password_hash = ${hash} AND disabled_at IS NULL
               FOR SHARE`.pipe(Effect.map((rows) => rows.length > 0)),
        setEmailVerified: (id, now) =>
          sql`UPDATE identity.users SET email_verified_at = coalesce(email_verified_at, ${DateTime.toDateUtc(now)}),
                     updated_at = ${DateTime.toDateUtc(now)} WHERE id = ${id} AND erased_at IS NULL`.pipe(
            Effect.asVoid
          ),
        setDisabled: (id, disabled, now) =>
          decoded(Effect.map(setDisabled({ id, disabled, now }), Option.map(accountOf))),
        revocationOf: (id) =>
          Effect.map(
            sql<{ readonly id: bigint }>`SELECT id FROM identity.revocations
               WHERE xid = pg_current_xact_id_if_assigned() AND user_id = ${id}`,
            (rows) => rows.at(-1)?.id
          ),
        erase: (id, now) => {
          const at = DateTime.toDateUtc(now)
          return sql`UPDATE identity.users SET email = NULL, display_name = NULL, password_hash = NULL,
                            email_verified_at = NULL, disabled_at = coalesce(disabled_at, ${at}), erased_at = ${at},
                            updated_at = ${at}
                      WHERE id = ${id} AND erased_at IS NULL`.pipe(Effect.asVoid)
        },
        list: (before, limit) => Effect.map(decoded(list({ before, limit })), Arr.map(accountOf)),
        sweep: Effect.fnUntraced(function*(now) {
          const at = DateTime.toDateUtc(now)
          const before = DateTime.toDateUtc(DateTime.subtract(now, { seconds: longestWindow }))
          yield* sql`DELETE FROM identity.sessions WHERE id IN (SELECT id FROM identity.sessions
                      WHERE idle_expires_at <= ${at} ORDER BY idle_expires_at LIMIT 1000)`
          yield* sql`DELETE FROM identity.login_failures WHERE id IN (SELECT id FROM identity.login_failures
                      WHERE failed_at <= ${before} ORDER BY failed_at LIMIT 10000)`
          // The longest-lived kind lasts a day.
          const yesterday = DateTime.toDateUtc(DateTime.subtract(now, { days: 1 }))
          yield* sql`DELETE FROM identity.one_time_tokens WHERE hash IN (SELECT hash FROM identity.one_time_tokens
                      WHERE issued_at <= ${yesterday} ORDER BY issued_at LIMIT 10000)`
          yield* sql`DELETE FROM identity.revocations WHERE id IN (SELECT id FROM identity.revocations
                      WHERE at <= now() - interval '1 hour' ORDER BY at LIMIT 10000)`
        })
      })
    })
  )
}
