import { DateTime, Effect, Option, Redacted, Schema } from "effect"
import { Mac } from "effect/crypto"
import { type Headers, HttpClient, HttpClientRequest, HttpClientResponse } from "effect/http"
import { PaymentId } from "../domain/Ids.ts"
import { maxAmount } from "../domain/Money.ts"
import { PaymentStatus, ProviderUnavailable, WebhookOtherMode } from "../domain/Payments.ts"
import { InvalidRequest } from "../domain/Problem.ts"
import {
  type EventFacts,
  type Gateway,
  type PayoutDestination,
  type ProviderCharge,
  type ProviderError,
  ProviderNonsense,
  ProviderRefused,
  VerifiedEvent
} from "../services/Gateway.ts"
import { readRows, wordIn } from "../services/GatewayLists.ts"
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
  reference: Schema.String,
  livemode: Schema.Boolean,
  checkoutUrl: Schema.String
})
const movement = {
  id: Schema.String,
  amount: Schema.Int,
  currency: Schema.String,
  reference: Schema.String,
  failureReason: Schema.OptionFromNullOr(Schema.String)
}
const Refund = Schema.Struct({
  ...movement,
  charge: Schema.String,
  status: Schema.Literals(["pending", "succeeded", "failed"])
})
const Payout = Schema.Struct({ ...movement, status: Schema.Literals(["processing", "paid", "failed"]) })
const Recipient = Schema.Struct({ id: Schema.String })
const Page = Schema.Struct({ items: Schema.Array(Schema.Unknown), hasMore: Schema.Boolean })
const nonsense = (detail: string) => new ProviderNonsense({ provider, detail })
const Refusal = Schema.Struct({ error: Schema.Struct({ code: Schema.String, message: Schema.String }) })
// No control characters and no lone surrogates: what is kept of an event goes into text columns, which take neither.
const Word = Schema.String.check(Schema.isPattern(/^\P{C}{1,255}$/u))
const Event = Schema.fromJsonString(Schema.Struct({
  id: Word,
  type: Word,
  livemode: Schema.Boolean,
  data: Schema.Struct({ charge: Schema.Struct({ id: Word, reference: Word }) })
}))

const away = (detail: string) => new ProviderUnavailable({ provider, retry_after: 5, detail })

/** 429 and 5xx may pass and are tried again; other refusals are final. */
const answerOf = <S extends Schema.Codec<unknown, unknown>>(schema: S) =>
  Effect.fnUntraced(
    function*(response: HttpClientResponse.HttpClientResponse): Effect.fn.Return<S["Type"], ProviderError> {
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
      return yield* Effect.catchTags(HttpClientResponse.schemaBodyJson(schema)(response), {
        SchemaError: () => nonsense("The sandbox's answer has another shape."),
        HttpClientError: () => away("The sandbox's answer broke off.")
      })
    }
  )

const decodeEvent = Effect.fnUntraced(
  function*(body: string): Effect.fn.Return<EventFacts, InvalidRequest | WebhookOtherMode> {
    const event = yield* Schema.decodeEffect(Event)(body).pipe(
      Effect.mapError(() =>
        new InvalidRequest({ errors: [{ pointer: "/body", detail: "The body is not an event of the sandbox" }] })
      )
    )
    if (event.livemode) return yield* new WebhookOtherMode({ detail: "The sandbox moves no real money." })
    return {
      eventId: event.id,
      type: event.type,
      about: "charge",
      reference: Option.some(event.data.charge.id),
      operationId: Option.none(),
      paymentId: Schema.decodeOption(PaymentId)(event.data.charge.reference)
    }
  }
)

const chargeOf = (charge: typeof Charge.Type): ProviderCharge => ({
  reference: charge.id,
  paymentId: Schema.decodeOption(PaymentId)(charge.reference),
  status: charge.status,
  amount: BigInt(charge.amount),
  currency: charge.currency,
  livemode: charge.livemode,
  nextAction: charge.status === "requires_action"
    ? Option.some({ type: "redirect", url: charge.checkoutUrl })
    : Option.none(),
  fee: Option.none()
})

const movementOf = <M extends typeof Refund.Type | typeof Payout.Type>({ id, ...rest }: M) => ({
  ...rest,
  reference: id,
  operationId: Option.some(rest.reference),
  amount: BigInt(rest.amount)
})
const refundOf = (refund: typeof Refund.Type) => ({
  ...movementOf(refund),
  status: refund.status,
  chargeReference: Option.some(refund.charge)
})
const payoutOf = (payout: typeof Payout.Type) => ({ ...movementOf(payout), status: payout.status })

const accountOf = (destination: PayoutDestination) =>
  destination.type === "bank"
    ? { account: destination.accountNumber, name: destination.accountName, country: destination.country }
    : { account: destination.phone, name: destination.network, country: destination.country }

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
  const call = <S extends Schema.Codec<unknown, unknown>>(schema: S, request: HttpClientRequest.HttpClientRequest) =>
    client.execute(request).pipe(
      Effect.mapError(() => away("The sandbox cannot be reached.")),
      Effect.flatMap(answerOf(schema))
    )
  const get = <S extends Schema.Codec<unknown, unknown>>(schema: S, path: string, id: string) =>
    call(schema, HttpClientRequest.get(`${path}/${encodeURIComponent(id)}`))
  const post = <S extends Schema.Codec<unknown, unknown>>(schema: S, path: string, key: string, body: object) =>
    call(
      schema,
      HttpClientRequest.post(path).pipe(
        HttpClientRequest.setHeader("idempotency-key", key),
        HttpClientRequest.bodyJsonUnsafe(body)
      )
    )
  const list = <S extends Schema.Codec<unknown, unknown>, A>(
    schema: S,
    path: string,
    toItem: (item: S["Type"]) => A
  ) =>
    Effect.fnUntraced(function*(page: { readonly since: DateTime.Utc; readonly cursor: Option.Option<string> }) {
      const { hasMore, items } = yield* call(
        Page,
        HttpClientRequest.get(path).pipe(
          HttpClientRequest.setUrlParams({
            since: String(DateTime.toEpochMillis(page.since)),
            ...(Option.isSome(page.cursor) ? { after: page.cursor.value } : {})
          })
        )
      )
      const next = Option.filter(
        Option.fromUndefinedOr(items.flatMap((row) => wordIn(row, "id") ?? []).at(-1)),
        () => hasMore
      )
      if (hasMore && Option.isNone(next)) return yield* nonsense("No row of a page has a name to go on from.")
      const read = yield* readRows(items, "id", (row) =>
        Schema.decodeUnknownEffect(schema)(row).pipe(
          Effect.mapError(() => nonsense("A row of the list has another shape.")),
          Effect.map((item) => [toItem(item)])
        ))
      return { ...read, next }
    })

  const gateway: Gateway = {
    provider,
    livemode: false,
    needsEmail: false,
    keyedRefunds: true,
    bounds: () => Option.some({ min: 1n, max: maxAmount, step: 1n }),
    reaches: () => true,
    createCharge: Effect.fn("SandboxGateway.createCharge")(
      function*({ amount, currency, paymentId, returnUrl }) {
        const body = { amount: Number(amount), currency, reference: paymentId }
        const url = Option.isSome(returnUrl) ? { returnUrl: returnUrl.value } : {}
        return chargeOf(yield* post(Charge, "/v1/charges", paymentId, { ...body, ...url }))
      }
    ),
    retrieveCharge: Effect.fn("SandboxGateway.retrieveCharge")((reference) =>
      Effect.map(get(Charge, "/v1/charges", reference), chargeOf)
    ),
    cancelCharge: Effect.fn("SandboxGateway.cancelCharge")((reference) =>
      Effect.map(post(Charge, `/v1/charges/${encodeURIComponent(reference)}/cancel`, reference, {}), chargeOf)
    ),
    createRefund: Effect.fn("SandboxGateway.createRefund")(({ amount, chargeReference, refundId }) => {
      const body = { charge: chargeReference, amount: Number(amount), reference: refundId }
      return Effect.map(post(Refund, "/v1/refunds", refundId, body), refundOf)
    }),
    retrieveRefund: Effect.fn("SandboxGateway.retrieveRefund")((reference) =>
      Effect.map(get(Refund, "/v1/refunds", reference), refundOf)
    ),
    createRecipient: Effect.fn("SandboxGateway.createRecipient")(({ destination, payoutId }) =>
      Effect.map(post(Recipient, "/v1/recipients", payoutId, accountOf(destination)), ({ id }) => id)
    ),
    createPayout: Effect.fn("SandboxGateway.createPayout")(({ amount, currency, payoutId, recipient }) => {
      const body = { recipient, amount: Number(amount), currency, reference: payoutId }
      return Effect.map(post(Payout, "/v1/payouts", payoutId, body), payoutOf)
    }),
    // A payout is one step here, so what there is of it is all of it.
    resumePayout: ({ begun }) => Effect.map(get(Payout, "/v1/payouts", begun), payoutOf),
    retrievePayout: Effect.fn("SandboxGateway.retrievePayout")((reference) =>
      Effect.map(get(Payout, "/v1/payouts", reference), payoutOf)
    ),
    retrieveDispute: () =>
      Effect.fail(new ProviderRefused({ provider, code: "not_found", detail: "The sandbox has no disputes." })),
    listCharges: list(Charge, "/v1/charges", chargeOf),
    listRefunds: list(Refund, "/v1/refunds", refundOf),
    listPayouts: list(Payout, "/v1/payouts", payoutOf),
    listDisputes: () => Effect.succeed({ items: [], strange: [], next: Option.none() }),
    verifyWebhook: Effect.fn("SandboxGateway.verifyWebhook")(function*(rawBody, headers: Headers.Headers) {
      const proof = yield* readTimestamped({ provider, keys: [key], rawBody, header: headers["sandbox-signature"] })
      return yield* VerifiedEvent.authenticate(proof, decodeEvent).pipe(Effect.provideService(Mac.Mac, mac))
    })
  }
  return gateway
})
