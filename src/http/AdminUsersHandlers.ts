import { Effect, Option } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { defaultLimit } from "../domain/Page.ts"
import { CurrentUser } from "../domain/Principal.ts"
import { IdentityAdmin } from "../services/IdentityAdmin.ts"
import { Api } from "./Api.ts"

export const AdminUsersHandlers = HttpApiBuilder.group(
  Api,
  "adminUsers",
  Effect.fn(function*(handlers) {
    const admin = yield* IdentityAdmin
    return handlers.handleAll({
      list: ({ query: { cursor, email, limit } }) =>
        admin.list({ cursor, limit: limit ?? defaultLimit, email: Option.fromUndefinedOr(email) }),
      find: ({ params }) => admin.find(params.id),
      disable: ({ params, payload }) =>
        Effect.flatMap(CurrentUser, (by) => admin.disable({ by, userId: params.id, ...payload })),
      enable: ({ params, payload }) =>
        Effect.flatMap(CurrentUser, (by) => admin.enable({ by, userId: params.id, ...payload })),
      setRoles: ({ params, payload }) =>
        Effect.flatMap(CurrentUser, (by) => admin.setRoles({ by, userId: params.id, ...payload }))
    })
  })
)
