import { Effect } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { requireRole } from "../domain/Identity.ts"
import { defaultLimit } from "../domain/Page.ts"
import { DeadLetters } from "../services/DeadLetters.ts"
import { Api } from "./Api.ts"

const asAdmin = requireRole("admin")

export const DeadLettersHandlers = HttpApiBuilder.group(
  Api,
  "deadLetters",
  Effect.fn(function*(handlers) {
    const letters = yield* DeadLetters
    return handlers.handleAll({
      list: ({ query }) =>
        Effect.andThen(
          asAdmin,
          letters.list({ queue: query.queue, cursor: query.cursor, limit: query.limit ?? defaultLimit })
        ),
      requeue: ({ params }) =>
        Effect.flatMap(asAdmin, ({ userId }) => letters.requeue(params.queue, params.commandId, userId))
    })
  })
)
