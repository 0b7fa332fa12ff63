import { Context, DateTime, Effect, Layer, Option, type Redacted } from "effect"
import type { SqlError } from "effect/sql"
import { decideRefresh, InvalidRefreshToken, type Tokens, type User } from "../domain/Identity.ts"
import { SessionId } from "../domain/Ids.ts"
import type { Principal } from "../domain/Principal.ts"
import type { Unavailable } from "../domain/Problem.ts"
import { accessTokenLife, AccessTokens } from "./AccessTokens.ts"
import { withDatabase } from "./Database.ts"
import { IdentityStore } from "./IdentityStore.ts"
import { newId } from "./NewId.ts"
import * as RefreshTokens from "./RefreshTokens.ts"

/** A session is a family of refresh tokens, each the successor of the one before, of which only the last is live. */
export class Sessions extends Context.Service<Sessions, {
  /** Part of the caller's own transaction, so that it keeps SqlError. */
  open(user: User, now: DateTime.Utc): Effect.Effect<Tokens, SqlError.SqlError>
  /** Spends a refresh token for its successor. A spent one that comes back after 10 s ends the session. */
  refresh(token: Redacted.Redacted<string>): Effect.Effect<Tokens, InvalidRefreshToken | Unavailable>
  end(sessionId: SessionId): Effect.Effect<void, Unavailable>
}>()("midnight/services/identity/Sessions") {
  static readonly layer = (options: { readonly refreshSecret: Redacted.Redacted<string> }) =>
    Layer.effect(
      Sessions,
      Effect.gen(function*() {
        const store = yield* IdentityStore
        const accessTokens = yield* AccessTokens

        const tokensOf = Effect.fnUntraced(function*(principal: Principal, refreshToken: Redacted.Redacted<string>) {
          const accessToken = yield* accessTokens.sign(principal)
          const tokens: Tokens = { accessToken, refreshToken, tokenType: "Bearer", expiresIn: accessTokenLife }
          return tokens
        })

        /** Whose session goes on; none when the token is refused. */
        const spend = Effect.fnUntraced(function*(hash: Uint8Array, successor: Uint8Array, now: DateTime.Utc) {
          const found = yield* store.lockToken(hash)
          if (Option.isNone(found)) return Option.none<Principal>()
          const { principal, token } = found.value
          switch (decideRefresh(token, now)) {
            case "rotate":
              yield* store.rotateToken(hash, successor, token, now)
              return Option.some(principal)
            case "replay":
              return Option.some(principal)
            case "reuse":
              yield* store.revokeSession(token.sessionId, "reuse", now)
              yield* Effect.logWarning("A spent refresh token came back; its session has ended").pipe(
                Effect.annotateLogs({ "session.id": token.sessionId, "enduser.id": principal.userId })
              )
              return Option.none()
            case "refuse":
              return Option.none()
          }
        })

        return Sessions.of({
          open: Effect.fn("Sessions.open")(function*(user, now) {
            const sessionId = yield* newId(SessionId)
            const refreshToken = RefreshTokens.fresh()
            yield* store.insertSession(sessionId, user.id, RefreshTokens.hashOf(refreshToken), now)
            return yield* tokensOf({ userId: user.id, sessionId, roles: user.roles }, refreshToken)
          }),
          refresh: Effect.fn("Sessions.refresh")(function*(token) {
            const now = yield* DateTime.now
            const successor = RefreshTokens.successorOf(token, options.refreshSecret)
            // Ending a family must commit although the answer is an error: the transaction succeeds, and the error follows.
            const principal = yield* withDatabase(
              store.transaction(spend(RefreshTokens.hashOf(token), RefreshTokens.hashOf(successor), now))
            )
            if (Option.isNone(principal)) return yield* new InvalidRefreshToken({})
            return yield* tokensOf(principal.value, successor)
          }),
          end: Effect.fn("Sessions.end")(function*(sessionId) {
            const now = yield* DateTime.now
            yield* withDatabase(store.revokeSession(sessionId, "logout", now))
          })
        })
      })
    )
}
