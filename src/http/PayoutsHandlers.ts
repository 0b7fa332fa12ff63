import { Effect } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { defaultLimit } from "../domain/Page.ts"
import { Payouts } from "../services/Payouts.ts"
import { Api } from "./Api.ts"

export const PayoutsHandlers = HttpApiBuilder.group(
  Api,
  "payouts",
  Effect.fn(function*(handlers) {
    const payouts = yield* Payouts
    return handlers.handleAll({
      create: ({ payload }) => payouts.create(payload),
      list: ({ query }) => payouts.list({ cursor: query.cursor, limit: query.limit ?? defaultLimit }),
      find: ({ params }) => payouts.find(params.id),
      cancel: ({ params }) => payouts.cancel(params.id)
    })
  })
)
