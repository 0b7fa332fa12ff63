import { Effect } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { defaultLimit } from "../domain/Page.ts"
import { CurrentUser } from "../domain/Principal.ts"
import { DeadLetters } from "../services/DeadLetters.ts"
import { Api } from "./Api.ts"

export const DeadLettersHandlers = HttpApiBuilder.group(
  Api,
  "deadLetters",
  Effect.fn(function*(handlers) {
    const letters = yield* DeadLetters
    return handlers.handleAll({
      list: ({ query }) =>
        letters.list({ queue: query.queue, cursor: query.cursor, limit: query.limit ?? defaultLimit }),
      requeue: ({ params }) =>
        Effect.flatMap(CurrentUser, ({ userId }) => letters.requeue(params.queue, params.commandId, userId))
    })
  })
)
