import { Layer } from "effect"
import { Headers, UrlParams } from "effect/http"

const headers = [
  "authorization",
  "cookie",
  "set-cookie",
  "x-api-key",
  "idempotency-key",
  "stripe-signature",
  "x-paystack-signature",
  "webhook-signature"
]

// Query names whose values are secrets or say who somebody is; they show up in `url.full` of spans.
const queryNames = [/token/i, /secret/i, /password/i, /sig/i, /^code$/i, /key/i, /e-?mail/i, /phone/i, /account/i]

/** What spans and logs of HTTP must not repeat, for server and client alike. */
export const layer: Layer.Layer<never> = Layer.mergeAll(
  Layer.succeed(Headers.CurrentRedactedNames)(headers),
  Layer.succeed(UrlParams.CurrentRedactedNames)(queryNames)
)
