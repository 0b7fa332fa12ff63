import { Context, Effect, Layer, Option, Schema } from "effect"
import { Email } from "../domain/Identity.ts"
import type { UserId } from "../domain/Ids.ts"
import type { Role } from "../domain/Principal.ts"
import type { Unavailable } from "../domain/Problem.ts"
import { withDatabase } from "./Database.ts"
import { gathered } from "./Gathered.ts"
import { Revocations } from "./IdentityRevocations.ts"
import { type Account, IdentityStore } from "./IdentityStore.ts"
import { spanWhenSampled } from "./TraceContext.ts"

const decodeEmail = Schema.decodeUnknownOption(Email)
const isActive = ({ disabledAt }: Account) => Option.isNone(disabledAt)

/** Accounts that are known to exist, for so many seconds: shorter than a revocation is remembered, or one could be missed. */
const knownFor = 300
/** An entry is a hundred bytes or so. */
const mostKnown = 100_000

/** The public face of the identity bulkhead for every other one: who exists, and how to reach them. */
export class Users extends Context.Service<Users, {
  /** The account with this address, in any spelling. A disabled account is not found. */
  findByEmail(email: string): Effect.Effect<Option.Option<UserId>, Unavailable>
  /** Whether there is an account that is not disabled. One that was disabled within the last second may still be taken for one. */
  exists(userId: UserId): Effect.Effect<boolean, Unavailable>
  emailOf(userId: UserId): Effect.Effect<Option.Option<string>, Unavailable>
  /** What an account may do at this moment, whatever its tokens say. None where there is none, or it is disabled. */
  rolesOf(userId: UserId): Effect.Effect<Option.Option<ReadonlyArray<Role>>, Unavailable>
}>()("midnight/services/identity/Users") {
  static readonly layer = Layer.effect(
    Users,
    Effect.gen(function*() {
      const store = yield* IdentityStore
      const revocations = yield* Revocations
      const activeById = (id: UserId) => Effect.map(withDatabase(store.findById(id)), Option.filter(isActive))
      // Every transfer asks this, so it is asked for many at once.
      const active = yield* gathered((ids: ReadonlyArray<UserId>) =>
        Effect.map(withDatabase(store.activeAmong(ids)), (found) => new Map([...found].map((id) => [id, true])))
      )
      // Who is paid is paid again, and every transfer asks. An account that exists stays, unless it is disabled or erased, and
      // that is known within a second from the same source that ends its sessions.
      const known = new Map<UserId, number>()
      const remember = (id: UserId, now: number) => {
        if (known.size >= mostKnown) {
          const oldest = known.keys().next()
          if (oldest.done !== true) known.delete(oldest.value)
        }
        known.delete(id)
        known.set(id, now + knownFor * 1_000)
      }
      const exists = (id: UserId) =>
        Effect.clockWith((clock) => {
          const now = clock.currentTimeMillisUnsafe()
          const until = known.get(id)
          if (until !== undefined && now < until && revocations.stands(id, now)) return Effect.succeed(true)
          return Effect.map(active(id), (found) => {
            if (Option.isSome(found)) remember(id, now)
            return Option.isSome(found)
          })
        })
      return Users.of({
        findByEmail: Effect.fn("Users.findByEmail")(function*(email: string) {
          const address = decodeEmail(email)
          if (Option.isNone(address)) return Option.none()
          const found = yield* withDatabase(store.findByEmail(address.value))
          return Option.map(Option.filter(found, isActive), ({ user }) => user.id)
        }),
        exists: (id) => spanWhenSampled("Users.exists")(exists(id)),
        emailOf: Effect.fn("Users.emailOf")((id: UserId) =>
          Effect.map(activeById(id), Option.map(({ user }) => user.email))
        ),
        rolesOf: Effect.fn("Users.rolesOf")((id: UserId) =>
          Effect.map(activeById(id), Option.map(({ user }) => user.roles))
        )
      })
    })
  )
}
