import { Effect } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { requireRole } from "../domain/Identity.ts"
import { defaultLimit } from "../domain/Page.ts"
import { Reviews } from "../services/Reviews.ts"
import { Api } from "./Api.ts"

const asReviewer = requireRole("reviewer")

export const ReviewHandlers = HttpApiBuilder.group(
  Api,
  "review",
  Effect.fn(function*(handlers) {
    const reviews = yield* Reviews
    return handlers.handleAll({
      queue: ({ query }) =>
        Effect.andThen(
          asReviewer,
          reviews.queue({
            status: query.status ?? "needs_review",
            cursor: query.cursor,
            limit: query.limit ?? defaultLimit
          })
        ),
      decide: ({ params, payload }) =>
        Effect.flatMap(asReviewer, (reviewer) => reviews.decide(params.id, reviewer, payload))
    })
  })
)
