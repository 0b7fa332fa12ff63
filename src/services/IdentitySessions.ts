import { Context, DateTime, Effect, Layer, Option, type Redacted, Schema } from "effect"
import type { SqlError } from "effect/sql"
import {
  decideRefresh,
  type Device,
  InvalidRefreshToken,
  type PresentedToken,
  type Session,
  type Tokens,
  type User
} from "../domain/Identity.ts"
import { SessionId } from "../domain/Ids.ts"
import { cursorOf, cut } from "../domain/Page.ts"
import type { Principal } from "../domain/Principal.ts"
import { type InvalidRequest, NotFound, type Unavailable } from "../domain/Problem.ts"
import { AccessTokens } from "./AccessTokens.ts"
import { withDatabase } from "./Database.ts"
import { SecurityEvents } from "./IdentityEvents.ts"
import { Revocations, sessionEnded } from "./IdentityRevocations.ts"
import { IdentitySessionStore } from "./IdentitySessionStore.ts"
import { IdentitySettings } from "./IdentitySettings.ts"
import { IdentityStore } from "./IdentityStore.ts"
import { newId } from "./NewId.ts"
import * as RefreshTokens from "./RefreshTokens.ts"

const position = cursorOf(Schema.Struct({ id: SessionId }))

interface Options {
  readonly refreshSecret: Redacted.Redacted<string>
}

/** A session is a family of refresh tokens, each the successor of the one before, of which only the last is live. */
export class Sessions extends Context.Service<Sessions, {
  /** Part of the caller's own transaction, so that it keeps SqlError. */
  open(user: User, device: Device, now: DateTime.Utc): Effect.Effect<
    { readonly tokens: Tokens; readonly sessionId: SessionId },
    SqlError.SqlError
  >
  /** Spends a refresh token for its successor. A spent one that comes back after 10 s ends the session. */
  refresh(token: Redacted.Redacted<string>, device: Device): Effect.Effect<Tokens, InvalidRefreshToken | Unavailable>
  /** Signs out. */
  end(principal: Principal): Effect.Effect<void, Unavailable>
  list(principal: Principal, page: { readonly cursor: string | undefined; readonly limit: number }): Effect.Effect<
    { readonly items: ReadonlyArray<Session>; readonly nextCursor: string | null },
    InvalidRequest | Unavailable
  >
  /** Ends a session of the caller's own, whichever it is. */
  revoke(principal: Principal, id: SessionId): Effect.Effect<void, NotFound | Unavailable>
}>()("midnight/services/identity/Sessions") {
  static readonly layer = (options: Options) => Layer.effect(Sessions, make(options))
}

/** Whose session goes on, or ended just now; neither when the token is refused. */
interface Spent {
  readonly principal: Option.Option<Principal>
  readonly ended: Option.Option<SessionId>
}

const spending = Effect.gen(function*() {
  const store = yield* IdentitySessionStore
  const events = yield* SecurityEvents
  const { session: { grace } } = yield* IdentitySettings

  const decide = Effect.fnUntraced(function*(
    { principal, token }: { readonly principal: Principal; readonly token: PresentedToken },
    rotate: Effect.Effect<void, SqlError.SqlError>,
    now: DateTime.Utc
  ): Effect.fn.Return<Spent, SqlError.SqlError> {
    switch (decideRefresh(token, now, grace)) {
      case "rotate":
        yield* rotate
        return { principal: Option.some(principal), ended: Option.none() }
      case "replay":
        return { principal: Option.some(principal), ended: Option.none() }
      case "reuse":
        yield* store.endSession(token.sessionId, "reuse", Option.none(), now)
        yield* events.record({ kind: "refresh_reused", userId: principal.userId, sessionId: token.sessionId })
        yield* Effect.logWarning("A spent refresh token came back; its session has ended").pipe(
          Effect.annotateLogs({ "session.id": token.sessionId, "enduser.id": principal.userId })
        )
        return { principal: Option.none(), ended: Option.some(token.sessionId) }
      case "refuse":
        return { principal: Option.none(), ended: Option.none() }
    }
  })

  return Effect.fnUntraced(function*(hash: Uint8Array, successor: Uint8Array, device: Device, now: DateTime.Utc) {
    const found = yield* store.lockToken(hash, successor)
    return Option.isNone(found)
      ? { principal: Option.none(), ended: Option.none() }
      : yield* decide(found.value, store.rotateToken(hash, successor, found.value.token, device, now), now)
  })
})

const make = Effect.fnUntraced(function*(options: Options) {
  const { transaction } = yield* IdentityStore
  const store = yield* IdentitySessionStore
  const accessTokens = yield* AccessTokens
  const { accessTokenLife } = yield* IdentitySettings
  const events = yield* SecurityEvents
  const revocations = yield* Revocations
  const spend = yield* spending

  const tokensOf = Effect.fnUntraced(function*(principal: Principal, refreshToken: Redacted.Redacted<string>) {
    const accessToken = yield* accessTokens.sign(principal)
    const tokens: Tokens = { accessToken, refreshToken, tokenType: "Bearer", expiresIn: accessTokenLife }
    return tokens
  })

  return Sessions.of({
    open: Effect.fn("Sessions.open")(function*(user, device, now) {
      const sessionId = yield* newId(SessionId)
      const refreshToken = RefreshTokens.fresh()
      const refreshHash = RefreshTokens.hashOf(refreshToken)
      yield* store.insertSession({ id: sessionId, userId: user.id, refreshHash, device }, now)
      return { sessionId, tokens: yield* tokensOf({ userId: user.id, sessionId, roles: user.roles }, refreshToken) }
    }),
    refresh: Effect.fn("Sessions.refresh")(function*(token, device) {
      const now = yield* DateTime.now
      const successor = RefreshTokens.successorOf(token, options.refreshSecret)
      // Ending a family must commit although the answer is an error: the transaction succeeds, and the error follows.
      const { ended, principal } = yield* withDatabase(
        transaction(spend(RefreshTokens.hashOf(token), RefreshTokens.hashOf(successor), device, now))
      )
      yield* revocations.note(Option.toArray(ended).map(sessionEnded))
      if (Option.isNone(principal)) return yield* new InvalidRefreshToken({})
      return yield* tokensOf(principal.value, successor)
    }),
    end: Effect.fn("Sessions.end")(function*({ sessionId, userId }) {
      const now = yield* DateTime.now
      yield* withDatabase(transaction(Effect.gen(function*() {
        const ended = yield* store.endSession(sessionId, "logout", Option.none(), now)
        if (ended) yield* events.record({ kind: "logout", userId, by: userId, sessionId })
      })))
      yield* revocations.note([sessionEnded(sessionId)])
    }),
    list: Effect.fn("Sessions.list")(function*({ sessionId, userId }, { cursor, limit }) {
      const now = yield* DateTime.now
      const before = Option.map(yield* position.decode(cursor), ({ id }) => id)
      const rows = yield* withDatabase(store.sessions({ userId, before, limit: limit + 1 }, now))
      const page = yield* cut(rows, limit, ({ id }) => position.encode({ id }))
      return { ...page, items: page.items.map((row) => ({ ...row, current: row.id === sessionId })) }
    }),
    revoke: Effect.fn("Sessions.revoke")(function*({ userId }, id) {
      const now = yield* DateTime.now
      const ended = yield* withDatabase(transaction(Effect.gen(function*() {
        const ended = yield* store.endSession(id, "owner", Option.some(userId), now)
        if (ended) yield* events.record({ kind: "session_revoked", userId, by: userId, sessionId: id })
        return ended
      })))
      if (!ended) return yield* new NotFound({ detail: "You have no session by that id." })
      yield* revocations.note([sessionEnded(id)])
    })
  })
})
