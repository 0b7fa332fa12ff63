import { Clock, DateTime, Effect, Option } from "effect"
import { SecureRandom } from "effect/crypto"
import { type Device, Email } from "../../domain/Identity.ts"
import { SecurityEventId, SessionId, UserId } from "../../domain/Ids.ts"
import type { IdentityEventStore } from "../../services/IdentityEventStore.ts"
import type { IdentityFailureStore } from "../../services/IdentityFailureStore.ts"
import type { IdentityPeerStore } from "../../services/IdentityPeerStore.ts"
import { type IdentityRevocationStore, Position } from "../../services/IdentityRevocationStore.ts"
import type { IdentitySessionStore } from "../../services/IdentitySessionStore.ts"
import type { IdentityStore } from "../../services/IdentityStore.ts"
import type { IdentityTokenStore } from "../../services/IdentityTokenStore.ts"
import { after, named, type NamedQuery, type Uses } from "./NamedQuery.ts"
import type { Samples } from "./Samples.ts"

type Accounts = IdentityStore["Service"]
type Sessions = IdentitySessionStore["Service"]
type Tokens = IdentityTokenStore["Service"]
type Events = IdentityEventStore["Service"]
type Revocations = IdentityRevocationStore["Service"]

export interface IdentityStores {
  readonly accounts: Accounts
  readonly sessions: Sessions
  readonly tokens: Tokens
  readonly failures: IdentityFailureStore["Service"]
  readonly events: Events
  readonly revocations: Revocations
  readonly peers: IdentityPeerStore["Service"]
}

const device: Device = { userAgent: Option.some("doctor"), address: "192.0.2.1" }

/** Members and sessions that are written are made up: real ones may be in use. */
const madeUp = Effect.fnUntraced(function*({ accounts, sessions }: IdentityStores) {
  const now = DateTime.makeUnsafe(yield* Clock.currentTimeMillis)
  const userId = UserId.make(SecureRandom.uuidV7Unsafe())
  const sessionId = SessionId.make(SecureRandom.uuidV7Unsafe())
  const hash = new Uint8Array(32).fill(7)
  const email = Email.make(`${userId}@example.com`)
  const addUser = accounts.insertUser({
    id: userId,
    email,
    displayName: Option.none(),
    roles: ["member"],
    passwordHash: "$argon2id$none"
  }, now)
  const open = (at: DateTime.Utc) =>
    Effect.andThen(addUser, sessions.insertSession({ id: sessionId, userId, refreshHash: hash, device }, at))
  return { now, userId, sessionId, hash, addUser, open }
})
type MadeUp = Effect.Success<ReturnType<typeof madeUp>>

const ofAccounts = (store: Accounts, real: Samples, { addUser, now, open, userId }: MadeUp): Uses<Accounts> => ({
  insertUser: addUser,
  findByEmail: store.findByEmail(real.email),
  findById: store.findById(real.userId),
  activeAmong: store.activeAmong([real.userId]),
  setDisplayName: after(addUser, store.setDisplayName(userId, Option.none(), now)),
  setRoles: after(addUser, store.setRoles(userId, ["member", "sponsor"], now)),
  setPasswordHash: after(addUser, store.setPasswordHash(userId, "$argon2id$none", Option.none(), now)),
  holdPassword: after(addUser, store.holdPassword(userId, "$argon2id$none")),
  setEmailVerified: after(addUser, store.setEmailVerified(userId, now)),
  setDisabled: after(addUser, store.setDisabled(userId, true, now)),
  revocationOf: after(
    Effect.andThen(addUser, store.setDisabled(userId, true, now)),
    store.revocationOf(userId)
  ),
  erase: after(addUser, store.erase(userId, now)),
  list: [store.list(Option.none(), 21), store.list(Option.some(real.userId), 21)],
  // A session that ended long ago, so that deleting it asks for its tokens.
  sweep: after(open(DateTime.makeUnsafe(0)), store.sweep(now))
})

const ofSessions = (store: Sessions, real: Samples, own: MadeUp): Uses<Sessions> => {
  const { addUser, hash, now, open, sessionId, userId } = own
  const successor = new Uint8Array(32).fill(8)
  const session = {
    sessionId,
    usedAt: Option.none(),
    succeeded: false,
    idleExpiresAt: now,
    expiresAt: DateTime.add(now, { days: 1 }),
    revoked: false,
    userDisabled: false
  }
  const rotate = store.rotateToken(hash, successor, session, device, now)
  return {
    insertSession: after(addUser, store.insertSession({ id: sessionId, userId, refreshHash: hash, device }, now)),
    lockToken: [
      store.lockToken(real.tokenHash, successor),
      after(Effect.andThen(open(now), rotate), store.lockToken(hash, successor))
    ],
    rotateToken: after(open(now), rotate),
    endSession: after(open(now), store.endSession(sessionId, "logout", Option.some(userId), now)),
    endSessionsOf: after(open(now), store.endSessionsOf(userId, "password", Option.none(), now)),
    sessions: store.sessions({ userId: real.userId, before: Option.none(), limit: 21 }, now)
  }
}

const ofTokens = (store: Tokens, { addUser, hash, now, userId }: MadeUp): Uses<Tokens> => {
  const issue = store.issue({ hash, userId, purpose: "verify_email" }, now)
  const issued = Effect.andThen(addUser, issue)
  return {
    issue: after(addUser, issue),
    notSent: after(issued, store.notSent(hash)),
    holder: after(issued, store.holder(hash, "verify_email", now)),
    use: after(issued, store.use(hash, "verify_email", now)),
    useUp: after(issued, store.useUp(userId, "verify_email", now)),
    forget: after(issued, store.forget(userId))
  }
}

const ofEvents = (store: Events, real: Samples, { userId }: MadeUp): Uses<Events> => {
  const id = SecurityEventId.make(SecureRandom.uuidV7Unsafe())
  return {
    record: store.record({ kind: "login", userId, by: userId }),
    page: [
      store.page({ of: Option.none(), before: Option.some(id), limit: 21 }),
      store.page({ of: Option.some(real.userId), before: Option.some(id), limit: 21 })
    ]
  }
}

const ofFailures = (store: IdentityFailureStore["Service"], real: Samples): Uses<IdentityFailureStore["Service"]> => {
  // Of an account and an address that nobody tried, so that there is room.
  const placed = Effect.flatMap(
    DateTime.now,
    (now) => store.place({ account: new Uint8Array(32).fill(9), address: "doctor" }, now)
  )
  const ended = (end: typeof store.keep) =>
    Effect.flatMap(placed, (place) => place._tag === "Taken" ? end(place.id) : Effect.die(place))
  return { place: placed, keep: ended(store.keep), free: ended(store.free), forget: store.forget(real.failure.account) }
}

/** Every statement of identity's stores. */
export const identityQueries = Effect.fnUntraced(function*(stores: IdentityStores, real: Samples) {
  const own = yield* madeUp(stores)
  const recent: Uses<Revocations> = {
    since: [
      stores.revocations.since(Option.none(), 10),
      stores.revocations.since(Option.some(Position.make("900")), 10)
    ]
  }
  const queries: ReadonlyArray<NamedQuery> = [
    ...named("IdentityStore", ofAccounts(stores.accounts, real, own)),
    ...named("IdentitySessionStore", ofSessions(stores.sessions, real, own)),
    ...named("IdentityTokenStore", ofTokens(stores.tokens, own)),
    ...named("IdentityFailureStore", ofFailures(stores.failures, real)),
    ...named("IdentityEventStore", ofEvents(stores.events, real, own)),
    ...named("IdentityRevocationStore", recent),
    ...named("IdentityPeerStore", { count: stores.peers.count })
  ]
  return queries
})
