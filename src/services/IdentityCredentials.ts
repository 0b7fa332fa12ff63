import { Context, DateTime, Effect, Layer, Option, type Redacted } from "effect"
import { type Email, InvalidCredentials, InvalidToken, type TokenPurpose } from "../domain/Identity.ts"
import type { UserId } from "../domain/Ids.ts"
import type { Principal } from "../domain/Principal.ts"
import { type TooManyRequests, Unauthorized, type Unavailable } from "../domain/Problem.ts"
import { withDatabase } from "./Database.ts"
import { SecurityEvents } from "./IdentityEvents.ts"
import { IdentityFailureStore } from "./IdentityFailureStore.ts"
import { accountKey, LoginLimit } from "./IdentityLoginLimit.ts"
import { MailRequests } from "./IdentityMail.ts"
import { Revocations, sessionEnded } from "./IdentityRevocations.ts"
import { IdentitySessionStore } from "./IdentitySessionStore.ts"
import { IdentityStore } from "./IdentityStore.ts"
import { IdentityTokenStore } from "./IdentityTokenStore.ts"
import { Passwords } from "./Passwords.ts"
import * as RefreshTokens from "./RefreshTokens.ts"

type Secret = Redacted.Redacted<string>

/** How people prove that an address or an account is theirs: by a password, or by what was sent to their mailbox. */
export class Credentials extends Context.Service<Credentials, {
  /**
   * The signed-in caller's own account, when the password is right. Wrong ones count as failed logins do: a stolen access
   * token must not be a way to guess on.
   */
  prove(principal: Principal, password: Secret, address: string): Effect.Effect<
    Email,
    InvalidCredentials | TooManyRequests | Unauthorized | Unavailable
  >
  /** Ends every other session of the account. */
  change(
    principal: Principal,
    request: { readonly currentPassword: Secret; readonly newPassword: Secret; readonly address: string }
  ): Effect.Effect<void, InvalidCredentials | TooManyRequests | Unauthorized | Unavailable>
  /** The same work whether there is such an account or not: what is sent is decided later, elsewhere. */
  forgot(email: Email): Effect.Effect<void, Unavailable>
  /** Ends every session of the account. Having read the mail also proves the address. */
  reset(token: Secret, password: Secret): Effect.Effect<void, InvalidToken | Unavailable>
  verifyEmail(token: Secret): Effect.Effect<void, InvalidToken | Unavailable>
  resendVerification(userId: UserId): Effect.Effect<void, Unavailable>
}>()("midnight/services/identity/Credentials") {
  static readonly layer = Layer.effect(Credentials, Effect.suspend(() => make))
}

const accountGone = () => new Unauthorized({ detail: "The account of this token does not exist any more." })

const make = Effect.gen(function*() {
  const store = yield* IdentityStore
  const sessions = yield* IdentitySessionStore
  const tokens = yield* IdentityTokenStore
  const failures = yield* IdentityFailureStore
  const passwords = yield* Passwords
  const limit = yield* LoginLimit
  const events = yield* SecurityEvents
  const mail = yield* MailRequests
  const revocations = yield* Revocations

  const proof = Effect.fn("Credentials.prove")(function*({ userId }: Principal, password: Secret, address: string) {
    const found = yield* withDatabase(store.findById(userId))
    if (Option.isNone(found) || Option.isSome(found.value.disabledAt)) return yield* accountGone()
    const { passwordHash, user: { email } } = found.value
    const attempt = Effect.map(passwords.verify(password, Option.some(passwordHash)), (right) => ({
      account: userId,
      proven: right ? Option.some({ email, passwordHash }) : Option.none()
    }))
    return yield* limit.attempt({ email, address }, attempt)
  })
  const prove = (principal: Principal, password: Secret, address: string) =>
    Effect.map(proof(principal, password, address), ({ email }) => email)

  /** Part of the transaction that sets a new password: it leaves nobody signed in who came by the old one. */
  const replaced = Effect.fnUntraced(
    function*(userId: UserId, keep: Option.Option<Principal>, now: DateTime.Utc) {
      yield* tokens.useUp(userId, "reset_password", now)
      yield* events.record({
        kind: Option.isSome(keep) ? "password_changed" : "password_reset",
        userId,
        by: Option.getOrUndefined(keep)?.userId,
        sessionId: Option.getOrUndefined(keep)?.sessionId
      })
      yield* mail.request("password_changed", Option.some(userId))
      return yield* sessions.endSessionsOf(userId, "password", Option.map(keep, ({ sessionId }) => sessionId), now)
    }
  )

  const holder = Effect.fnUntraced(function*(hash: Uint8Array, purpose: TokenPurpose, now: DateTime.Utc) {
    const userId = yield* withDatabase(tokens.holder(hash, purpose, now))
    return Option.isSome(userId) ? userId.value : yield* new InvalidToken({})
  })
  const use = Effect.fnUntraced(function*(hash: Uint8Array, purpose: TokenPurpose, now: DateTime.Utc) {
    const userId = yield* tokens.use(hash, purpose, now)
    const account = Option.isSome(userId) ? yield* store.findById(userId.value) : Option.none()
    return Option.filter(account, ({ disabledAt }) => Option.isNone(disabledAt))
  })

  return Credentials.of({
    prove,
    change: Effect.fn("Credentials.change")(function*(principal, { address, currentPassword, newPassword }) {
      const { passwordHash } = yield* proof(principal, currentPassword, address)
      const hash = yield* passwords.hash(newPassword)
      const now = yield* DateTime.now
      const { userId } = principal
      const ended = yield* withDatabase(store.transaction(Effect.gen(function*() {
        // Reset or erased since: the old password proves nothing any more, and must not undo that.
        if (!(yield* store.setPasswordHash(userId, hash, Option.some(passwordHash), now))) {
          return yield* new InvalidCredentials({})
        }
        return yield* replaced(userId, Option.some(principal), now)
      })))
      yield* revocations.note(ended.map(sessionEnded))
    }),
    forgot: Effect.fn("Credentials.forgot")(function*(email) {
      const found = yield* withDatabase(store.findByEmail(email))
      yield* withDatabase(mail.request("reset_password", Option.map(found, ({ user }) => user.id)))
    }),
    reset: Effect.fn("Credentials.reset")(function*(token, password) {
      const now = yield* DateTime.now
      const presented = RefreshTokens.hashOf(token)
      // Asked before as well, so that a token that is none costs no hash.
      yield* holder(presented, "reset_password", now)
      const hash = yield* passwords.hash(password)
      const ended = yield* withDatabase(store.transaction(Effect.gen(function*() {
        const account = yield* use(presented, "reset_password", now)
        if (Option.isNone(account)) return yield* new InvalidToken({})
        const { email, emailVerified, id } = account.value.user
        if (!emailVerified) {
          yield* store.setEmailVerified(id, now)
          yield* events.record({ kind: "email_verified", userId: id })
        }
        yield* failures.forget(accountKey(email))
        if (!(yield* store.setPasswordHash(id, hash, Option.none(), now))) return yield* new InvalidToken({})
        return yield* replaced(id, Option.none(), now)
      })))
      yield* revocations.note(ended.map(sessionEnded))
    }),
    verifyEmail: Effect.fn("Credentials.verifyEmail")(function*(token) {
      const now = yield* DateTime.now
      yield* withDatabase(store.transaction(Effect.gen(function*() {
        const account = yield* use(RefreshTokens.hashOf(token), "verify_email", now)
        if (Option.isNone(account)) return yield* new InvalidToken({})
        const { id } = account.value.user
        yield* store.setEmailVerified(id, now)
        yield* tokens.useUp(id, "verify_email", now)
        yield* events.record({ kind: "email_verified", userId: id })
      })))
    }),
    resendVerification: Effect.fn("Credentials.resendVerification")((userId) =>
      withDatabase(mail.request("verify_email", Option.some(userId)))
    )
  })
})
