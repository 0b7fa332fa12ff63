import { Effect, Option } from "effect"
import type { HttpServerRequest } from "effect/http"
import { HttpApiBuilder } from "effect/http-api"
import type { Provider } from "../domain/Payments.ts"
import { NotFound } from "../domain/Problem.ts"
import { Gateways } from "../services/Gateway.ts"
import { Payments } from "../services/Payments.ts"
import { Api } from "./Api.ts"
import { ClientAddress } from "./middleware/ClientAddress.ts"
import { Limits } from "./middleware/Limits.ts"
import { forgedWebhooks } from "./middleware/Policies.ts"

interface Delivery {
  readonly payload: Uint8Array
  readonly request: HttpServerRequest.HttpServerRequest
}

export const WebhooksHandlers = HttpApiBuilder.group(
  Api,
  "webhooks",
  Effect.fn(function*(handlers) {
    const gateways = yield* Gateways
    const payments = yield* Payments
    const limits = yield* Limits
    const address = yield* ClientAddress

    // Acknowledged once the event and its command are committed; what the event leads to is worked off the queue.
    const receive = (provider: Provider) =>
      Effect.fnUntraced(function*({ payload, request }: Delivery) {
        const gateway = gateways.find(provider)
        if (Option.isNone(gateway)) {
          return yield* new NotFound({ detail: `The provider ${provider} is not configured.` })
        }
        const event = yield* gateway.value.verifyWebhook(payload, request.headers).pipe(
          Effect.tapErrorTag(
            "WebhookForged",
            () => limits.consume([{ policy: forgedWebhooks, subject: address.of(request) }])
          )
        )
        yield* payments.receive(event)
        return { received: true as const }
      })

    return handlers.handleAll({
      stripe: receive("stripe"),
      paystack: receive("paystack"),
      sandbox: receive("sandbox")
    })
  })
)
