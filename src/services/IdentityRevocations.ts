import { Clock, Context, Effect, Layer, Option } from "effect"
import type { SessionId, UserId } from "../domain/Ids.ts"
import type { Principal, Role } from "../domain/Principal.ts"
import type { Unavailable } from "../domain/Problem.ts"
import { withDatabase } from "./Database.ts"
import { IdentityRevocationStore, type Position, type RevocationRow } from "./IdentityRevocationStore.ts"

/** For how long a token may be accepted after it was made: its life of 600 s, and 30 s of skew on either side. */
const longest = 660
/** Milliseconds after the last look at the database from which on it is not known how an account stands. */
const stale = 2_000

export const sessionEnded = (sessionId: SessionId): RevocationRow => ({ sessionId, userId: null, roles: null })
/**
 * Roles: tokens that name others are out of date. None: the account may do nothing. The id is that of the row which the change
 * wrote; a change that comes to be known after a later one is told from it by that alone. A change that wrote none changed
 * nothing of how the account stands, and must not undo what another process has changed since.
 */
export const accountStands = (
  userId: UserId,
  roles: ReadonlyArray<Role> | null,
  id: bigint | undefined
): ReadonlyArray<RevocationRow> => id === undefined ? [] : [{ sessionId: null, userId, roles, id }]

/**
 * Access tokens that must not be taken although they verify: of sessions that ended, of disabled accounts, with roles that
 * have changed. Asked synchronously for every request, out of memory. What this process does is noted at once; what others do, an
 * operator in SQL among them, is read from the database twice a second. Nothing is kept longer than a token can live.
 */
export class Revocations extends Context.Service<Revocations, {
  isRevoked(principal: Principal): boolean
  /** Whether an account that existed within the last `longest` seconds still does, now: neither disabled nor erased. */
  stands(userId: UserId, now: number): boolean
  /** Whether it is too long ago that what others revoked was read. */
  isBehind(now: number): boolean
  /** After the commit of what ends a session or changes an account. */
  note(rows: ReadonlyArray<RevocationRow>): Effect.Effect<void>
  /** Reads what is new in the database; the first time, all that still counts. */
  readonly catchUp: Effect.Effect<void, Unavailable>
}>()("midnight/services/identity/Revocations") {
  static readonly layer = Layer.effect(
    Revocations,
    Effect.gen(function*() {
      const store = yield* IdentityRevocationStore
      const sessions = new Map<SessionId, { readonly until: number }>()
      const accounts = new Map<
        UserId,
        { readonly until: number; readonly roles: string | undefined; readonly id: bigint }
      >()
      let readAt = -Infinity
      let position = Option.none<Position>()

      const keep = <K, V>(map: Map<K, V>, key: K, value: V) => {
        // Put at the end, so that what is at the front is what ends first.
        map.delete(key)
        map.set(key, value)
      }
      const forget = <K>(map: Map<K, { readonly until: number }>, now: number) => {
        for (const [key, { until }] of map) {
          if (until > now) return
          map.delete(key)
        }
      }
      const take = (rows: ReadonlyArray<RevocationRow>, now: number) => {
        const until = now + longest * 1000
        for (const row of rows) {
          if (row.sessionId !== null) {
            keep(sessions, row.sessionId, { until })
            continue
          }
          const known = accounts.get(row.userId)?.id ?? 0n
          // Rows come again while an older transaction is open, and a reading that began before a change may end after it was
          // noted: how the account stood before is not how it stands.
          if (row.id !== undefined && row.id < known) continue
          keep(accounts, row.userId, { until, roles: row.roles?.join(), id: row.id ?? known })
        }
        forget(sessions, now)
        forget(accounts, now)
      }

      const catchUp = Effect.gen(function*() {
        const now = yield* Clock.currentTimeMillis
        const read = yield* withDatabase(store.since(position, longest))
        take(read.rows, now)
        position = read.position
        readAt = now
      })
      // Before the first request is served. A database that is away ends no session; the next round asks again.
      yield* Effect.ignore(Effect.timeout(catchUp, "1 second"))

      const isBehind = (now: number) => now - readAt >= stale

      return Revocations.of({
        isBehind,
        isRevoked: ({ roles, sessionId, userId }) => {
          if (sessions.has(sessionId)) return true
          const account = accounts.get(userId)
          return account !== undefined && account.roles !== roles.join()
        },
        stands: (userId, now) => {
          const account = accounts.get(userId)
          return !isBehind(now) && (account === undefined || account.roles !== undefined)
        },
        note: (rows) => Effect.map(Clock.currentTimeMillis, (now) => take(rows, now)),
        catchUp
      })
    })
  )
}
