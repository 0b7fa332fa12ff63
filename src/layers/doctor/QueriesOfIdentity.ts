import { Clock, DateTime, Effect, Option } from "effect"
import { SecureRandom } from "effect/crypto"
import { Email } from "../../domain/Identity.ts"
import { SessionId, UserId } from "../../domain/Ids.ts"
import type { IdentityStore } from "../../services/IdentityStore.ts"
import { after, named, type NamedQuery, type Uses } from "./NamedQuery.ts"
import type { Samples } from "./Samples.ts"

type Store = IdentityStore["Service"]

/** Every statement of IdentityStore. Members and sessions that are written are made up: real ones may be in use. */
export const identityQueries = Effect.fnUntraced(function*(store: Store, real: Samples) {
  const now = DateTime.makeUnsafe(yield* Clock.currentTimeMillis)
  const userId = UserId.make(SecureRandom.uuidV7Unsafe())
  const sessionId = SessionId.make(SecureRandom.uuidV7Unsafe())
  const hash = new Uint8Array(32).fill(7)
  const addUser = store.insertUser({
    id: userId,
    email: Email.make(`${userId}@example.com`),
    displayName: Option.none(),
    roles: ["member"],
    passwordHash: "$argon2id$none"
  }, now)
  const open = (at: DateTime.Utc) => Effect.andThen(addUser, store.insertSession(sessionId, userId, hash, at))
  const longAgo = DateTime.makeUnsafe(0)
  const session = {
    sessionId,
    usedAt: Option.none(),
    idleExpiresAt: now,
    expiresAt: now,
    revoked: false,
    userDisabled: false
  }

  const uses: Uses<Store> = {
    insertUser: addUser,
    findByEmail: store.findByEmail(real.email),
    findById: store.findById(real.userId),
    activeAmong: store.activeAmong([real.userId]),
    setDisplayName: after(addUser, store.setDisplayName(userId, Option.none(), now)),
    setRoles: after(addUser, store.setRoles(userId, ["member"], now)),
    setPasswordHash: after(addUser, store.setPasswordHash(userId, "$argon2id$none", now)),
    insertSession: after(addUser, store.insertSession(sessionId, userId, hash, now)),
    lockToken: store.lockToken(real.tokenHash),
    rotateToken: after(
      open(now),
      store.rotateToken(hash, new Uint8Array(32).fill(8), {
        ...session,
        expiresAt: DateTime.add(now, { days: 1 })
      }, now)
    ),
    revokeSession: after(open(now), store.revokeSession(sessionId, "logout", now)),
    failuresFilling: store.failuresFilling(real.failure, now),
    insertFailure: store.insertFailure(real.failure, now),
    // A session that ended long ago, so that deleting it asks for its tokens.
    sweep: after(open(longAgo), store.sweep(now))
  }
  const queries: ReadonlyArray<NamedQuery> = named("IdentityStore", uses)
  return queries
})
