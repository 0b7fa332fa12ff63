import { Context, Effect, Layer, Option, Schema } from "effect"
import { Email } from "../domain/Identity.ts"
import type { UserId } from "../domain/Ids.ts"
import type { Unavailable } from "../domain/Problem.ts"
import { withDatabase } from "./Database.ts"
import { gathered } from "./Gathered.ts"
import { type Account, IdentityStore } from "./IdentityStore.ts"
import { spanWhenSampled } from "./TraceContext.ts"

const decodeEmail = Schema.decodeUnknownOption(Email)
const isActive = ({ disabledAt }: Account) => Option.isNone(disabledAt)

/** The public face of the identity bulkhead for every other one: who exists, and how to reach them. */
export class Users extends Context.Service<Users, {
  /** The account with this address, in any spelling. A disabled account is not found. */
  findByEmail(email: string): Effect.Effect<Option.Option<UserId>, Unavailable>
  /** Whether there is an account that is not disabled. */
  exists(userId: UserId): Effect.Effect<boolean, Unavailable>
  emailOf(userId: UserId): Effect.Effect<Option.Option<string>, Unavailable>
}>()("midnight/services/identity/Users") {
  static readonly layer = Layer.effect(
    Users,
    Effect.gen(function*() {
      const store = yield* IdentityStore
      const activeById = (id: UserId) => Effect.map(withDatabase(store.findById(id)), Option.filter(isActive))
      // Every transfer asks this, so it is asked for many at once.
      const active = yield* gathered((ids: ReadonlyArray<UserId>) =>
        Effect.map(withDatabase(store.activeAmong(ids)), (found) => new Map([...found].map((id) => [id, true])))
      )
      return Users.of({
        findByEmail: Effect.fn("Users.findByEmail")(function*(email: string) {
          const address = decodeEmail(email)
          if (Option.isNone(address)) return Option.none()
          const found = yield* withDatabase(store.findByEmail(address.value))
          return Option.map(Option.filter(found, isActive), ({ user }) => user.id)
        }),
        exists: (id) => spanWhenSampled("Users.exists")(Effect.map(active(id), Option.isSome)),
        emailOf: Effect.fn("Users.emailOf")((id: UserId) =>
          Effect.map(activeById(id), Option.map(({ user }) => user.email))
        )
      })
    })
  )
}
