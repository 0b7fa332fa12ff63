import { Context, Effect, Layer, Option, Schema } from "effect"
import { SqlClient, type SqlError } from "effect/sql"
import { SessionId, UserId } from "../domain/Ids.ts"
import { Role } from "../domain/Principal.ts"
import { decoded } from "./Database.ts"

const Session = { sessionId: SessionId, userId: Schema.Null, roles: Schema.Null }
const Account = { sessionId: Schema.Null, userId: UserId, roles: Schema.NullOr(Schema.Array(Role)) }
const Id = Schema.BigInt

/** How far somebody has read: every transaction before this one had ended. */
export const Position = Schema.String.pipe(Schema.brand("midnight/RevocationPosition"))
export type Position = typeof Position.Type

const Read = Schema.Array(Schema.Union([
  Schema.Struct({ position: Position, id: Id, ...Session }),
  Schema.Struct({ position: Position, id: Id, ...Account }),
  // Nothing new.
  Schema.Struct({ position: Position, id: Schema.Null })
]))

/**
 * A session that has ended, or how an account stands since a change: its roles, none when it may do nothing. Rows of one account
 * have their ids in the order of its changes.
 */
export type RevocationRow =
  & (
    | { readonly sessionId: SessionId; readonly userId: null; readonly roles: null }
    | { readonly sessionId: null; readonly userId: UserId; readonly roles: ReadonlyArray<Role> | null }
  )
  & { readonly id?: bigint }

/** What access tokens must no longer do; the tables' own triggers write it. */
export class IdentityRevocationStore extends Context.Service<IdentityRevocationStore, {
  /**
   * What was committed since somebody read up to there, and where to read on from; without a position, those of the last so
   * many seconds. By transactions and not by time: one that was open for long brings its rows with it when it commits. Some may
   * come again.
   */
  since(position: Option.Option<Position>, seconds: number): Effect.Effect<
    { readonly rows: ReadonlyArray<RevocationRow>; readonly position: Option.Option<Position> },
    SqlError.SqlError
  >
}>()("midnight/services/identity/IdentityRevocationStore") {
  static readonly layer = Layer.effect(
    IdentityRevocationStore,
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const decode = Schema.decodeUnknownEffect(Read)
      return IdentityRevocationStore.of({
        since: Effect.fnUntraced(function*(position, seconds) {
          const isNew = Option.isSome(position)
            ? sql`r.xid >= ${position.value}::text::xid8`
            : sql`r.at > now() - make_interval(secs => ${seconds}::float8)`
          const found = yield* sql`
            SELECT s.position, r.id, r.session_id AS "sessionId", r.user_id AS "userId", r.roles
              FROM (SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS position) s
              LEFT JOIN identity.revocations r ON ${isNew} ORDER BY r.id`
          const all = yield* decoded(decode(found))
          return {
            rows: all.flatMap((row) => row.id === null ? [] : [row]),
            position: Option.map(Option.fromUndefinedOr(all[0]), (row) => row.position)
          }
        })
      })
    })
  )
}
