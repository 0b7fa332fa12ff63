import { Context, DateTime, Effect, Layer, Option, Schema } from "effect"
import type { SqlError } from "effect/sql"
import type { Email } from "../domain/Identity.ts"
import { type AdminUser, OwnAccount, type RolesChange } from "../domain/IdentityAdmin.ts"
import { UserId } from "../domain/Ids.ts"
import { cursorOf, cut } from "../domain/Page.ts"
import { type Principal, sameRoles } from "../domain/Principal.ts"
import { type InvalidRequest, NotFound, type Unavailable } from "../domain/Problem.ts"
import { withDatabase } from "./Database.ts"
import { SecurityEvents } from "./IdentityEvents.ts"
import { accountStands, Revocations } from "./IdentityRevocations.ts"
import { IdentitySessionStore } from "./IdentitySessionStore.ts"
import { type Account, IdentityStore } from "./IdentityStore.ts"

const position = cursorOf(Schema.Struct({ id: UserId }))
const viewOf = ({ disabledAt, user }: Account): AdminUser => ({ ...user, disabledAt })

interface Act {
  readonly by: Principal
  readonly userId: UserId
  readonly reason: string
}

type ActError = NotFound | OwnAccount | Unavailable

/** What administrators do with accounts. Each act is in the audit log, with who did it and why. */
export class IdentityAdmin extends Context.Service<IdentityAdmin, {
  list(query: {
    readonly email: Option.Option<Email>
    readonly cursor: string | undefined
    readonly limit: number
  }): Effect.Effect<
    { readonly items: ReadonlyArray<AdminUser>; readonly nextCursor: string | null },
    InvalidRequest | Unavailable
  >
  find(id: UserId): Effect.Effect<AdminUser, NotFound | Unavailable>
  /** The account's sessions end, and its access tokens are refused within a second, everywhere. */
  disable(act: Act): Effect.Effect<AdminUser, ActError>
  enable(act: Act): Effect.Effect<AdminUser, ActError>
  setRoles(act: Act & Pick<RolesChange, "roles">): Effect.Effect<AdminUser, ActError>
}>()("midnight/services/identity/IdentityAdmin") {
  static readonly layer = Layer.effect(IdentityAdmin, Effect.suspend(() => make))
}

const make = Effect.gen(function*() {
  const store = yield* IdentityStore
  const sessions = yield* IdentitySessionStore
  const events = yield* SecurityEvents
  const revocations = yield* Revocations
  const nobody = () => new NotFound({ detail: "There is no such user." })

  const changing = Effect.fnUntraced(function*(
    userId: UserId,
    change: Effect.Effect<Option.Option<Account>, SqlError.SqlError>
  ) {
    const [changed, id] = yield* withDatabase(store.transaction(Effect.all([change, store.revocationOf(userId)])))
    if (Option.isNone(changed)) return yield* nobody()
    const { disabledAt, user } = changed.value
    yield* revocations.note(accountStands(userId, Option.isSome(disabledAt) ? null : user.roles, id))
    return viewOf(changed.value)
  })

  return IdentityAdmin.of({
    list: Effect.fn("IdentityAdmin.list")(function*({ cursor, email, limit }) {
      if (Option.isSome(email)) {
        const found = yield* withDatabase(store.findByEmail(email.value))
        return { items: Option.toArray(found).map(viewOf), nextCursor: null }
      }
      const before = Option.map(yield* position.decode(cursor), ({ id }) => id)
      const rows = yield* withDatabase(store.list(before, limit + 1))
      const page = yield* cut(rows, limit, ({ user }) => position.encode({ id: user.id }))
      return { ...page, items: page.items.map(viewOf) }
    }),
    find: Effect.fn("IdentityAdmin.find")(function*(id) {
      const found = yield* withDatabase(store.findById(id))
      return Option.isSome(found) ? viewOf(found.value) : yield* nobody()
    }),
    disable: Effect.fn("IdentityAdmin.disable")(function*({ by, reason, userId }) {
      if (userId === by.userId) return yield* new OwnAccount({ detail: "Another administrator has to disable it." })
      const now = yield* DateTime.now
      return yield* changing(
        userId,
        Effect.gen(function*() {
          const changed = yield* store.setDisabled(userId, true, now)
          if (Option.isNone(changed)) return changed
          yield* sessions.endSessionsOf(userId, "admin", Option.none(), now)
          yield* events.record({ kind: "account_disabled", userId, by: by.userId, reason })
          return changed
        })
      )
    }),
    enable: Effect.fn("IdentityAdmin.enable")(function*({ by, reason, userId }) {
      const now = yield* DateTime.now
      return yield* changing(
        userId,
        Effect.gen(function*() {
          const changed = yield* store.setDisabled(userId, false, now)
          if (Option.isSome(changed)) yield* events.record({ kind: "account_enabled", userId, by: by.userId, reason })
          return changed
        })
      )
    }),
    setRoles: Effect.fn("IdentityAdmin.setRoles")(function*({ by, reason, roles, userId }) {
      if (userId === by.userId && !roles.includes("admin")) {
        return yield* new OwnAccount({ detail: "Another administrator has to take the role." })
      }
      const now = yield* DateTime.now
      return yield* changing(
        userId,
        Effect.gen(function*() {
          const before = yield* store.findById(userId)
          if (Option.isSome(before) && sameRoles(before.value.user.roles, roles)) return before
          const changed = yield* store.setRoles(userId, roles, now)
          if (Option.isSome(changed)) {
            yield* events.record({ kind: "roles_changed", userId, by: by.userId, reason, roles })
          }
          return changed
        })
      )
    })
  })
})
