import { Effect, Option } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { defaultLimit } from "../domain/Page.ts"
import { CurrentUser } from "../domain/Principal.ts"
import { Campaigns } from "../services/Campaigns.ts"
import { Api } from "./Api.ts"

export const RewardsHandlers = HttpApiBuilder.group(
  Api,
  "rewards",
  Effect.fn(function*(handlers) {
    const campaigns = yield* Campaigns
    return handlers.handleAll({
      create: ({ payload }) => Effect.flatMap(CurrentUser, (user) => campaigns.create(user, payload)),
      list: ({ query }) =>
        Effect.flatMap(CurrentUser, (viewer) =>
          campaigns.list({
            viewer,
            q: Option.fromUndefinedOr(query.q),
            cursor: query.cursor,
            limit: query.limit ?? defaultLimit
          })),
      find: ({ params }) => Effect.flatMap(CurrentUser, (user) => campaigns.find(params.id, user)),
      edit: ({ params, payload }) => Effect.flatMap(CurrentUser, (user) => campaigns.edit(params.id, user, payload)),
      fund: ({ params, payload }) => Effect.flatMap(CurrentUser, (user) => campaigns.fund(params.id, user, payload)),
      activate: ({ params }) => Effect.flatMap(CurrentUser, (user) => campaigns.activate(params.id, user)),
      pause: ({ params }) => Effect.flatMap(CurrentUser, (user) => campaigns.pause(params.id, user)),
      close: ({ params }) => Effect.flatMap(CurrentUser, (user) => campaigns.close(params.id, user))
    })
  })
)
