import { Context, DateTime, Duration, Effect, Layer, Option, Schema } from "effect"
import { SqlClient, type SqlError, SqlSchema } from "effect/sql"
import { createHash } from "node:crypto"
import { decoded } from "./Database.ts"
import { IdentitySettings } from "./IdentitySettings.ts"

const Time = Schema.DateTimeUtcFromDate
const FailureId = Schema.BigInt.pipe(Schema.brand("midnight/FailureId"))
type FailureId = typeof FailureId.Type

/** An attempt that runs counts until it has ended, or for so long: longer than one can take. */
const runs = Duration.seconds(15)

export interface Failure {
  readonly account: Uint8Array
  readonly address: string
}

/**
 * Whether an attempt may run. `Taken`: it holds one of the places that failures leave. `Full`: failures have left none, and the
 * oldest of those that fill the limit stops to count then. `Busy`: those that run hold the last ones; whether they fail is to be seen.
 */
export type Place =
  | { readonly _tag: "Taken"; readonly id: FailureId }
  | { readonly _tag: "Full"; readonly until: DateTime.Utc }
  | { readonly _tag: "Busy"; readonly of: "account" | "address" }

const Standing = Schema.Struct({
  accountFull: Schema.OptionFromNullOr(Time),
  accountBusy: Schema.Boolean,
  addressFull: Schema.OptionFromNullOr(Time),
  addressBusy: Schema.Boolean
})

type Stored<A> = Effect.Effect<A, SqlError.SqlError>

/**
 * Failed logins of the last minutes. An attempt is written down as one that may fail before it runs, so that those which run
 * at once, in whatever processes, cannot be more than the limit leaves.
 */
export class IdentityFailureStore extends Context.Service<IdentityFailureStore, {
  place(attempt: Failure, now: DateTime.Utc): Stored<Place>
  /** It failed: its place stays taken until the window has passed. */
  keep(id: FailureId): Stored<void>
  /** It did not fail. */
  free(id: FailureId): Stored<void>
  /** Whoever has the account's mailbox need not wait for what others tried. */
  forget(account: Uint8Array): Stored<void>
}>()("midnight/services/identity/IdentityFailureStore") {
  static readonly layer = Layer.effect(
    IdentityFailureStore,
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const { failures: limits } = yield* IdentitySettings
      const sinceOf = (which: "account" | "address", now: DateTime.Utc) =>
        DateTime.subtract(now, { seconds: limits[which].windowSeconds })
      const untilOf = (which: "account" | "address", filled: Option.Option<DateTime.Utc>) =>
        Option.map(filled, DateTime.add({ seconds: limits[which].windowSeconds }))

      const most = (which: "account" | "address", value: Uint8Array | string, since: Date, now: Date) =>
        sql`SELECT (array_agg(failed_at ORDER BY failed_at DESC) FILTER (WHERE runs_until IS NULL))[${
          limits[which].limit
        }::int] AS filled,
                   count(*) FILTER (WHERE runs_until IS NULL OR runs_until > ${now}) >= ${
          limits[which].limit
        }::int AS busy
              FROM identity.login_failures WHERE ${sql(which)} = ${value} AND failed_at > ${since}`
      const standing = SqlSchema.findOne({
        Request: Schema.Struct({
          account: Schema.Uint8Array,
          address: Schema.String,
          accountSince: Time,
          addressSince: Time,
          now: Time
        }),
        Result: Standing,
        execute: ({ account, accountSince, address, addressSince, now }) =>
          sql`SELECT a.filled AS "accountFull", a.busy AS "accountBusy", b.filled AS "addressFull", b.busy AS "addressBusy"
                FROM (${most("account", account, accountSince, now)}) a,
                     (${most("address", address, addressSince, now)}) b`
      })
      const insert = SqlSchema.findOne({
        Request: Schema.Struct({ account: Schema.Uint8Array, address: Schema.String, now: Time, until: Time }),
        Result: Schema.Struct({ id: FailureId }),
        execute: ({ account, address, now, until }) =>
          sql`INSERT INTO identity.login_failures (account, address, failed_at, runs_until)
              VALUES (${account}, ${address}, ${now}, ${until}) RETURNING id`
      })

      const place = Effect.fnUntraced(function*({ account, address }: Failure, now: DateTime.Utc) {
        // Of two attempts at one limit the second looks after the first has committed. In one order, so that nobody waits in a ring.
        yield* sql`INSERT INTO identity.login_turns (slot) SELECT slot FROM unnest(${
          turnsOf({ account, address })
        }::int[]) slot
                    ORDER BY slot ON CONFLICT (slot) DO UPDATE SET slot = excluded.slot`
        const [accountSince, addressSince] = [sinceOf("account", now), sinceOf("address", now)]
        const at = yield* decoded(standing({ account, accountSince, address, addressSince, now }))
        const full = Option.reduceCompact(
          [untilOf("account", at.accountFull), untilOf("address", at.addressFull)],
          Option.none<DateTime.Utc>(),
          (latest, one) => Option.some(Option.match(latest, { onNone: () => one, onSome: (l) => DateTime.max(l, one) }))
        )
        if (Option.isSome(full)) return { _tag: "Full", until: full.value } satisfies Place
        if (at.accountBusy) return { _tag: "Busy", of: "account" } satisfies Place
        if (at.addressBusy) return { _tag: "Busy", of: "address" } satisfies Place
        const until = DateTime.addDuration(now, runs)
        const { id } = yield* decoded(insert({ account, address, now, until }))
        return { _tag: "Taken", id } satisfies Place
      }, sql.withTransaction)

      return IdentityFailureStore.of({
        place: (attempt, now) => Effect.catchTag(place(attempt, now), "NoSuchElementError", Effect.die),
        keep: (id) => Effect.asVoid(sql`UPDATE identity.login_failures SET runs_until = NULL WHERE id = ${id}`),
        free: (id) => Effect.asVoid(sql`DELETE FROM identity.login_failures WHERE id = ${id}`),
        // What runs is not forgiven before it is known what it comes to.
        forget: (account) =>
          Effect.asVoid(sql`DELETE FROM identity.login_failures WHERE account = ${account} AND runs_until IS NULL`)
      })
    })
  )
}

/** Which rows stand for an account and an address: a fixed number, so that invented ones cannot fill the table. */
const turnsOf = ({ account, address }: Failure): ReadonlyArray<number> => [
  account[0] ?? 0,
  256 + (createHash("sha256").update(address).digest()[0] ?? 0)
]
