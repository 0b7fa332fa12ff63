import { Effect } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { defaultLimit } from "../domain/Page.ts"
import { Payments } from "../services/Payments.ts"
import { Refunds } from "../services/Refunds.ts"
import { Api } from "./Api.ts"

export const PaymentsHandlers = HttpApiBuilder.group(
  Api,
  "payments",
  Effect.fn(function*(handlers) {
    const payments = yield* Payments
    const refunds = yield* Refunds
    return handlers.handleAll({
      charge: ({ payload }) => payments.charge(payload),
      list: ({ query }) => payments.list({ cursor: query.cursor, limit: query.limit ?? defaultLimit }),
      find: ({ params }) => payments.find(params.id),
      confirm: ({ params }) => payments.confirm(params.id),
      refund: ({ params, payload }) => refunds.create(params.id, payload)
    })
  })
)
