import { Effect } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { defaultLimit } from "../domain/Page.ts"
import { WebhookEndpoints } from "../services/WebhookEndpoints.ts"
import { Api } from "./Api.ts"

export const WebhookEndpointsHandlers = HttpApiBuilder.group(
  Api,
  "webhookEndpoints",
  Effect.fn(function*(handlers) {
    const endpoints = yield* WebhookEndpoints
    return handlers.handleAll({
      create: ({ payload }) => endpoints.create(payload),
      list: ({ query }) => endpoints.list({ cursor: query.cursor, limit: query.limit ?? defaultLimit }),
      find: ({ params }) => endpoints.find(params.id),
      edit: ({ params, payload }) => endpoints.edit(params.id, payload),
      remove: ({ params }) => endpoints.remove(params.id),
      rotate: ({ params }) => endpoints.rotate(params.id),
      deliveries: ({ params, query }) =>
        endpoints.deliveries(params.id, {
          cursor: query.cursor,
          limit: query.limit ?? defaultLimit,
          state: query.state
        }),
      redeliver: ({ params }) => endpoints.redeliver(params.id, params.eventId)
    })
  })
)
