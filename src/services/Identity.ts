import { Context, DateTime, Effect, Layer, Option, type Redacted, Schema } from "effect"
import {
  type Device,
  Email,
  EmailTaken,
  InvalidCredentials,
  type Registration,
  type SeedUser,
  type SignedIn,
  type User
} from "../domain/Identity.ts"
import { UserId } from "../domain/Ids.ts"
import { type Role, sameRoles } from "../domain/Principal.ts"
import { NotFound, type TooManyRequests, Unauthorized, type Unavailable } from "../domain/Problem.ts"
import { withDatabase } from "./Database.ts"
import { SecurityEvents } from "./IdentityEvents.ts"
import { LoginLimit, type Proof } from "./IdentityLoginLimit.ts"
import { MailRequests } from "./IdentityMail.ts"
import { accountStands, Revocations } from "./IdentityRevocations.ts"
import { Sessions } from "./IdentitySessions.ts"
import { type Account, IdentityStore } from "./IdentityStore.ts"
import { newId } from "./NewId.ts"
import { Passwords } from "./Passwords.ts"

export interface Login {
  readonly email: Email
  readonly password: Redacted.Redacted<string>
  readonly device: Device
}

/** Accounts: who somebody is, proven by a password. */
export class Identity extends Context.Service<Identity, {
  register(registration: Registration, device: Device): Effect.Effect<SignedIn, EmailTaken | Unavailable>
  /** After five failures within 15 minutes it fails with TooManyRequests, whatever the password. */
  login(login: Login): Effect.Effect<SignedIn, InvalidCredentials | TooManyRequests | Unavailable>
  /** Fails with Unauthorized when the account has gone or was disabled since the token was made. */
  me(userId: UserId): Effect.Effect<User, Unauthorized | Unavailable>
  rename(userId: UserId, name: Option.Option<string>): Effect.Effect<User, Unauthorized | Unavailable>
  /** Replaces the account's roles, on nobody's behalf. Tokens that carry others are refused, and the next refresh has these. */
  grantRoles(userId: UserId, roles: ReadonlyArray<Role>): Effect.Effect<User, NotFound | Unavailable>
  /** Makes sure the accounts exist and have these roles. The password of one that exists stays as it is. */
  seed(users: ReadonlyArray<SeedUser>): Effect.Effect<ReadonlyArray<User>, Unavailable>
}>()("midnight/services/identity/Identity") {
  static readonly layer = Layer.effect(
    Identity,
    Effect.gen(function*() {
      const { proof, row } = yield* credentials
      const store = yield* IdentityStore
      const sessions = yield* Sessions
      const limit = yield* LoginLimit
      const events = yield* SecurityEvents
      const mail = yield* MailRequests
      const revocations = yield* Revocations

      const grantRoles = Effect.fn("Identity.grantRoles")(function*(userId: UserId, roles: ReadonlyArray<Role>) {
        const now = yield* DateTime.now
        const { id, user } = yield* withDatabase(store.transaction(Effect.gen(function*() {
          const before = yield* store.findById(userId)
          // Every start seeds; the audit log is to have what changed.
          if (Option.isSome(before) && sameRoles(before.value.user.roles, roles)) {
            return { ...before.value, id: undefined }
          }
          const changed = yield* store.setRoles(userId, roles, now)
          if (Option.isNone(changed)) return yield* new NotFound({})
          yield* events.record({ kind: "roles_changed", userId, roles })
          return { ...changed.value, id: yield* store.revocationOf(userId) }
        })))
        yield* revocations.note(accountStands(userId, user.roles, id))
        return user
      })

      const signedIn = Effect.fnUntraced(
        function*(kind: "registered" | "login", user: User, device: Device, now: DateTime.Utc) {
          const { sessionId, tokens } = yield* sessions.open(user, device, now)
          yield* events.record({ kind, userId: user.id, by: user.id, sessionId })
          return { user, tokens }
        }
      )

      const ensure = Effect.fnUntraced(function*(wanted: SeedUser) {
        const email = yield* Effect.orDie(decodeEmail(wanted.email))
        const found = yield* withDatabase(store.findByEmail(email))
        if (Option.isNone(found)) {
          const now = yield* DateTime.now
          const account = yield* row({ ...wanted, email, displayName: Option.some(wanted.displayName) })
          const made = yield* withDatabase(store.transaction(Effect.tap(
            store.insertUser(account, now),
            (user) =>
              Option.isSome(user)
                ? events.record({ kind: "registered", userId: user.value.id, roles: wanted.roles })
                : Effect.void
          )))
          if (Option.isSome(made)) return made.value
        }
        // Another process may have made it in between; it is there now, and accounts are never deleted by then.
        const { user } = yield* withDatabase(store.findByEmail(email)).pipe(
          Effect.flatMap(Effect.fromOption),
          Effect.catchTag("NoSuchElementError", Effect.die)
        )
        return yield* Effect.catchTag(grantRoles(user.id, wanted.roles), "NotFound", Effect.die)
      })

      return Identity.of({
        grantRoles,
        register: Effect.fn("Identity.register")(function*(registration, device) {
          const now = yield* DateTime.now
          const account = yield* row({ ...registration, roles: ["member"] })
          return yield* withDatabase(store.transaction(Effect.gen(function*() {
            const user = yield* store.insertUser(account, now)
            if (Option.isNone(user)) return yield* new EmailTaken({})
            yield* mail.request("verify_email", Option.some(user.value.id))
            return yield* signedIn("registered", user.value, device, now)
          })))
        }),
        login: Effect.fn("Identity.login")(function*(login) {
          const { device, email } = login
          const { passwordHash, user } = yield* limit.attempt({ email, address: device.address }, proof(login))
          const now = yield* DateTime.now
          return yield* withDatabase(store.transaction(Effect.gen(function*() {
            // Since it was proven the password may have been reset, which ended every session: this would be one more.
            if (!(yield* store.holdPassword(user.id, passwordHash))) return yield* new InvalidCredentials({})
            return yield* signedIn("login", user, device, now)
          })))
        }),
        me: Effect.fn("Identity.me")(function*(userId) {
          const found = yield* withDatabase(store.findById(userId))
          if (Option.isNone(found) || Option.isSome(found.value.disabledAt)) return yield* unknownAccount()
          return found.value.user
        }),
        rename: Effect.fn("Identity.rename")(function*(userId, name) {
          const now = yield* DateTime.now
          const changed = yield* withDatabase(store.setDisplayName(userId, name, now))
          if (Option.isNone(changed)) return yield* unknownAccount()
          return changed.value
        }),
        seed: Effect.fn("Identity.seed")((users) => Effect.forEach(users, ensure))
      })
    })
  )
}

interface NewAccount extends Registration {
  readonly roles: ReadonlyArray<Role>
}

const decodeEmail = Schema.decodeUnknownEffect(Email)
const unknownAccount = () => new Unauthorized({ detail: "The account of this token does not exist any more." })

const credentials = Effect.gen(function*() {
  const store = yield* IdentityStore
  const passwords = yield* Passwords
  return {
    row: Effect.fnUntraced(function*({ displayName, email, password, roles }: NewAccount) {
      const passwordHash = yield* passwords.hash(password)
      return { id: yield* newId(UserId), email, displayName, roles, passwordHash }
    }),
    /** The account whose password this is. An unknown address costs as much time as a wrong password. */
    proof: Effect.fnUntraced(function*({ email, password }: Login): Effect.fn.Return<Proof<Account>, Unavailable> {
      const found = yield* withDatabase(store.findByEmail(email))
      const correct = yield* passwords.verify(password, Option.map(found, ({ passwordHash }) => passwordHash))
      if (Option.isNone(found)) return { account: undefined, proven: Option.none() }
      const account = found.value.user.id
      if (!correct || Option.isSome(found.value.disabledAt)) return { account, proven: Option.none() }
      const { passwordHash, user } = found.value
      // In a crowd it may wait for another login: this one is proven.
      const renewed = passwords.isOutdated(passwordHash)
        ? yield* Effect.option(passwords.hash(password))
        : Option.none<string>()
      if (Option.isSome(renewed)) {
        const now = yield* DateTime.now
        // Where it was changed meanwhile, that stands, and so does what becomes of this login.
        if (yield* withDatabase(store.setPasswordHash(user.id, renewed.value, Option.some(passwordHash), now))) {
          return { account, proven: Option.some({ ...found.value, passwordHash: renewed.value }) }
        }
      }
      return { account, proven: found }
    })
  }
})
