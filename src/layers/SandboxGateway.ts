import { Effect, Option, Redacted, Schema } from "effect"
import { Mac } from "effect/crypto"
import { type Headers, HttpClient, HttpClientRequest, HttpClientResponse } from "effect/http"
import { PaymentId } from "../domain/Ids.ts"
import { type ChargeReport, type NextAction, PaymentStatus, ProviderUnavailable } from "../domain/Payments.ts"
import { InvalidRequest } from "../domain/Problem.ts"
import {
  callProvider,
  type EventFacts,
  type Gateway,
  type ProviderError,
  ProviderRefused,
  VerifiedEvent
} from "../services/Gateway.ts"
import { readTimestamped } from "./TimestampedSignature.ts"

export interface SandboxSettings {
  readonly apiBase: string
  readonly secretKey: Redacted.Redacted<string>
  readonly webhookSecret: Redacted.Redacted<string>
}

const provider = "sandbox" as const

const Charge = Schema.Struct({
  id: Schema.String,
  status: PaymentStatus,
  amount: Schema.Int,
  currency: Schema.String,
  livemode: Schema.Boolean,
  checkoutUrl: Schema.String
})
const Refusal = Schema.Struct({ error: Schema.Struct({ code: Schema.String, message: Schema.String }) })
// No control characters and no lone surrogates: what is kept of an event goes into text columns, which take neither.
const Word = Schema.String.check(Schema.isPattern(/^\P{C}{1,255}$/u))
const Event = Schema.fromJsonString(Schema.Struct({
  id: Word,
  type: Word,
  livemode: Schema.Literal(false),
  data: Schema.Struct({ charge: Schema.Struct({ id: Word, reference: Word }) })
}))

const away = (detail: string) => new ProviderUnavailable({ provider, retry_after: 5, detail })

/** 429 and 5xx may pass and are tried again; other refusals are final. */
const answerOf = Effect.fnUntraced(
  function*(response: HttpClientResponse.HttpClientResponse): Effect.fn.Return<typeof Charge.Type, ProviderError> {
    if (response.status >= 500 || response.status === 429) {
      return yield* away(`The sandbox answered with status ${response.status}.`)
    }
    if (response.status >= 400) {
      const refusal = yield* Effect.option(HttpClientResponse.schemaBodyJson(Refusal)(response))
      return yield* new ProviderRefused(
        Option.match(refusal, {
          onNone: () => ({ provider, code: `http_${response.status}`, detail: "The sandbox gave no reason." }),
          onSome: ({ error }) => ({ provider, code: error.code, detail: error.message })
        })
      )
    }
    return yield* Effect.mapError(
      HttpClientResponse.schemaBodyJson(Charge)(response),
      () => away("The sandbox gave an answer that is not a charge.")
    )
  }
)

const decodeEvent = (body: string): Effect.Effect<EventFacts, InvalidRequest> =>
  Schema.decodeEffect(Event)(body).pipe(
    Effect.mapError(() =>
      new InvalidRequest({ errors: [{ pointer: "/body", detail: "The body is not an event of the sandbox" }] })
    ),
    Effect.map((event) => ({
      eventId: event.id,
      type: event.type,
      paymentId: Schema.decodeOption(PaymentId)(event.data.charge.reference)
    }))
  )

/** The adapter to the sandbox provider, a service of its own that Midnight knows by its HTTP API alone. */
export const makeSandboxGateway = Effect.fnUntraced(function*(settings: SandboxSettings) {
  const mac = yield* Mac.Mac
  const bytes = new TextEncoder().encode(Redacted.value(settings.webhookSecret))
  const key = yield* Effect.orDie(Mac.key(Mac.hmacSha256, bytes))
  const client = (yield* HttpClient.HttpClient).pipe(
    HttpClient.mapRequest((request) =>
      request.pipe(
        HttpClientRequest.prependUrl(settings.apiBase),
        HttpClientRequest.bearerToken(settings.secretKey),
        HttpClientRequest.acceptJson
      )
    )
  )
  const call = (request: HttpClientRequest.HttpClientRequest) =>
    client.execute(request).pipe(
      Effect.mapError(() => away("The sandbox cannot be reached.")),
      Effect.flatMap(answerOf),
      callProvider(provider)
    )

  const gateway: Gateway = {
    provider,
    livemode: false,
    createCharge: Effect.fn("SandboxGateway.createCharge")(
      function*({ amount, currency, paymentId, returnUrl }) {
        const charge = yield* call(
          HttpClientRequest.post("/v1/charges").pipe(
            HttpClientRequest.setHeader("idempotency-key", paymentId),
            HttpClientRequest.bodyJsonUnsafe({
              amount: Number(amount),
              currency,
              reference: paymentId,
              ...Option.match(returnUrl, { onNone: () => ({}), onSome: (url) => ({ returnUrl: url }) })
            })
          )
        )
        const nextAction: Option.Option<NextAction> = charge.status === "requires_action"
          ? Option.some({ type: "redirect", url: charge.checkoutUrl })
          : Option.none()
        return { providerReference: charge.id, nextAction, status: charge.status }
      }
    ),
    retrieveCharge: Effect.fn("SandboxGateway.retrieveCharge")(function*(reference) {
      const charge = yield* call(HttpClientRequest.get(`/v1/charges/${encodeURIComponent(reference)}`))
      const { currency, livemode, status } = charge
      return { status, amount: BigInt(charge.amount), currency, livemode } satisfies ChargeReport
    }),
    verifyWebhook: Effect.fn("SandboxGateway.verifyWebhook")(function*(rawBody, headers: Headers.Headers) {
      const proof = yield* readTimestamped({ provider, key, rawBody, header: headers["sandbox-signature"] })
      return yield* VerifiedEvent.authenticate(proof, decodeEvent).pipe(Effect.provideService(Mac.Mac, mac))
    })
  }
  return gateway
})
