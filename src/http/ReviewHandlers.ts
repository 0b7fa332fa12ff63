import { Effect } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { defaultLimit } from "../domain/Page.ts"
import { CurrentUser } from "../domain/Principal.ts"
import { Reviews } from "../services/Reviews.ts"
import { Api } from "./Api.ts"

export const ReviewHandlers = HttpApiBuilder.group(
  Api,
  "review",
  Effect.fn(function*(handlers) {
    const reviews = yield* Reviews
    return handlers.handleAll({
      queue: ({ query }) =>
        reviews.queue({
          status: query.status ?? "needs_review",
          cursor: query.cursor,
          limit: query.limit ?? defaultLimit
        }),
      decide: ({ params, payload }) =>
        Effect.flatMap(CurrentUser, (reviewer) => reviews.decide(params.id, reviewer, payload))
    })
  })
)
