import { Context, DateTime, Effect, Layer, Option, type Redacted, type Schema } from "effect"
import type { PersistedQueue } from "effect/persistence"
import { SqlError } from "effect/sql"
import type { TokenPurpose } from "../domain/Identity.ts"
import { OperationId, type UserId } from "../domain/Ids.ts"
import type { Unavailable } from "../domain/Problem.ts"
import { currentOrigin, type MailCommand, MailCommands } from "./Commands.ts"
import { withDatabase } from "./Database.ts"
import { SecurityEvents } from "./IdentityEvents.ts"
import { type Letter, letterFor } from "./IdentityLetters.ts"
import { type Account, IdentityStore } from "./IdentityStore.ts"
import { IdentityTokenStore } from "./IdentityTokenStore.ts"
import { Mailer, type MailNotSent } from "./Mailer.ts"
import { newId } from "./NewId.ts"
import * as RefreshTokens from "./RefreshTokens.ts"

type Addressed = Letter & { readonly token?: Redacted.Redacted<string> }
type Command = typeof MailCommand.Type

/** Asks for mail to the owner of an account, as part of the caller's own transaction. */
export class MailRequests extends Context.Service<MailRequests, {
  request(kind: Command["kind"], userId: Option.Option<UserId>): Effect.Effect<void, SqlError.SqlError>
}>()("midnight/services/identity/MailRequests") {
  static readonly layer = Layer.effect(
    MailRequests,
    Effect.gen(function*() {
      const commands = yield* MailCommands
      return MailRequests.of({
        request: Effect.fn("MailRequests.request")(function*(kind, userId) {
          const command = { ...(yield* currentOrigin), kind, userId }
          yield* commands.offer(command, { id: yield* newId(OperationId) }).pipe(Effect.catch(unoffered))
        })
      })
    })
  )
}

/** The queue wraps what the database said; the transaction that the offer is part of has to hear it. */
const unoffered = (
  error: PersistedQueue.PersistedQueueError | Schema.SchemaError
): Effect.Effect<never, SqlError.SqlError> =>
  error._tag === "PersistedQueueError" && SqlError.isSqlError(error.cause)
    ? Effect.fail(error.cause)
    : Effect.die(error)

const requestOf = {
  verify_email: "email_verification_requested",
  reset_password: "password_reset_requested"
} as const

/** Where mail comes from and leads to. */
export class MailSettings extends Context.Service<MailSettings, {
  /** The app's pages that take tokens; without it a mail has the token alone. */
  readonly appUrl: Option.Option<string>
}>()("midnight/services/identity/MailSettings") {}

/**
 * Sends what was asked for. The token is made here and its hash kept before the mail leaves, so the queue never holds one; an
 * attempt that is repeated makes another, and both are good for the same.
 */
export class MailDelivery extends Context.Service<MailDelivery, {
  work(command: Command, id: string): Effect.Effect<void, MailNotSent | Unavailable>
}>()("midnight/services/identity/MailDelivery") {
  static readonly layer = Layer.effect(
    MailDelivery,
    Effect.gen(function*() {
      const store = yield* IdentityStore
      const tokens = yield* IdentityTokenStore
      const events = yield* SecurityEvents
      const mailer = yield* Mailer
      const { appUrl } = yield* MailSettings

      /** None when the account was sent too many within the hour. */
      const issue = Effect.fnUntraced(function*(userId: UserId, purpose: TokenPurpose) {
        const token = RefreshTokens.fresh()
        const now = yield* DateTime.now
        const issued = yield* withDatabase(store.transaction(Effect.gen(function*() {
          const issued = yield* tokens.issue({ hash: RefreshTokens.hashOf(token), userId, purpose }, now)
          yield* events.record({ kind: issued ? requestOf[purpose] : "mail_limit_reached", userId })
          return issued
        })))
        return issued ? Option.some(token) : Option.none<Redacted.Redacted<string>>()
      })

      const letterOf = Effect.fnUntraced(function*(kind: Command["kind"], { user }: Account) {
        if (kind === "password_changed") return Option.some<Addressed>(letterFor({ kind }, appUrl))
        if (kind === "verify_email" && user.emailVerified) return Option.none<Addressed>()
        return Option.map(yield* issue(user.id, kind), (token) => ({ ...letterFor({ kind, token }, appUrl), token }))
      })

      return MailDelivery.of({
        work: Effect.fn("MailDelivery.work")(function*({ kind, userId }, id) {
          const account = Option.isSome(userId) ? yield* withDatabase(store.findById(userId.value)) : Option.none()
          if (Option.isNone(account) || Option.isSome(account.value.disabledAt)) {
            // Nothing is sent; that somebody tried is kept, without the address.
            if (kind === "password_changed") return
            return yield* withDatabase(
              events.record({ kind: requestOf[kind], userId: Option.getOrUndefined(account)?.user.id })
            )
          }
          const letter = yield* letterOf(kind, account.value)
          if (Option.isNone(letter)) return
          const { subject, text, token } = letter.value
          yield* mailer.send({ id, to: account.value.user.email, subject, text }).pipe(
            // Nobody's mails for the hour are used up by those that were never sent; all that may have arrived count.
            Effect.tapError((error) =>
              error.mayArrive || token === undefined
                ? Effect.void
                : withDatabase(tokens.notSent(RefreshTokens.hashOf(token)))
            )
          )
        })
      })
    })
  )
}
