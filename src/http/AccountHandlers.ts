import { Effect } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { defaultLimit } from "../domain/Page.ts"
import { CurrentUser } from "../domain/Principal.ts"
import { Identity } from "../services/Identity.ts"
import { Accounts } from "../services/IdentityAccounts.ts"
import { Credentials } from "../services/IdentityCredentials.ts"
import { Sessions } from "../services/IdentitySessions.ts"
import { Api } from "./Api.ts"
import { ClientAddress } from "./middleware/ClientAddress.ts"

export const AccountHandlers = HttpApiBuilder.group(
  Api,
  "account",
  Effect.fn(function*(handlers) {
    const identity = yield* Identity
    const sessions = yield* Sessions
    const credentials = yield* Credentials
    const accounts = yield* Accounts
    const address = yield* ClientAddress
    return handlers.handleAll({
      logout: () => Effect.flatMap(CurrentUser, sessions.end),
      me: () => Effect.flatMap(CurrentUser, ({ userId }) => identity.me(userId)),
      updateMe: ({ payload: { displayName } }) =>
        Effect.flatMap(
          CurrentUser,
          ({ userId }) => displayName === undefined ? identity.me(userId) : identity.rename(userId, displayName)
        ),
      sessions: ({ query }) =>
        Effect.flatMap(
          CurrentUser,
          (user) => sessions.list(user, { cursor: query.cursor, limit: query.limit ?? defaultLimit })
        ),
      revokeSession: ({ params }) => Effect.flatMap(CurrentUser, (user) => sessions.revoke(user, params.id)),
      changePassword: ({ payload, request }) =>
        Effect.flatMap(CurrentUser, (user) => credentials.change(user, { ...payload, address: address.of(request) })),
      resendVerification: () => Effect.flatMap(CurrentUser, ({ userId }) => credentials.resendVerification(userId)),
      exportMe: () => Effect.flatMap(CurrentUser, accounts.export),
      eraseMe: ({ payload, request }) =>
        Effect.flatMap(CurrentUser, (user) => accounts.erase(user, payload.password, address.of(request)))
    })
  })
)
