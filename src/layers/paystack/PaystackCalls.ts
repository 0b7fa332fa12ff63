import { Effect, Option, Redacted, Schema } from "effect"
import { HttpClient, HttpClientRequest, type HttpClientResponse } from "effect/http"
import { ProviderUnavailable } from "../../domain/Payments.ts"
import { type ProviderError, ProviderNonsense, ProviderRefused } from "../../services/Gateway.ts"

export interface PaystackSettings {
  readonly secretKey: Redacted.Redacted<string>
  readonly apiBase: string
}

const provider = "paystack" as const
export const away = (detail: string, retryAfter = 5) =>
  new ProviderUnavailable({ provider, retry_after: retryAfter, detail })
export const nonsense = (detail: string) => new ProviderNonsense({ provider, detail })
export const refused = (code: string, detail: string) => new ProviderRefused({ provider, code, detail })

/** What a reference that something has already is refused with, whatever Paystack calls it: each endpoint has its own code. */
export const referenceTaken = "duplicate_reference"
const takenCodes: ReadonlyArray<string> = [referenceTaken, "duplicate_transfer_reference"]

const Refusal = Schema.Struct({ message: Schema.String, code: Schema.optionalKey(Schema.NullOr(Schema.String)) })
const decodeRefusal = Schema.decodeUnknownOption(Refusal)
const Envelope = Schema.Struct({ status: Schema.Literal(true), message: Schema.String, data: Schema.Unknown })
const decodeEnvelope = Schema.decodeUnknownEffect(Envelope)

/** 429 and 5xx may pass, and a key that Paystack does not accept says nothing about the payment; the rest is final. */
const answerOf = <S extends Schema.Codec<unknown, unknown>>(schema: S) =>
  Effect.fnUntraced(
    function*(response: HttpClientResponse.HttpClientResponse): Effect.fn.Return<S["Type"], ProviderError> {
      const { status } = response
      if (status >= 500 || status === 429) return yield* away(`Paystack answered with status ${status}.`)
      if (status === 401 || status === 403) return yield* away("Paystack does not accept the secret key.", 60)
      const text = yield* Effect.mapError(response.text, () => away("Paystack's answer broke off."))
      const json = yield* Effect.mapError(
        Schema.decodeEffect(Schema.fromJsonString(Schema.Unknown))(text),
        () => nonsense("Paystack's answer is not JSON.")
      )
      const refusal = status >= 400 ? decodeRefusal(json) : Option.none()
      if (Option.isSome(refusal)) {
        const { code, message } = refusal.value
        const isTaken = takenCodes.includes(code ?? "") || /duplicate|already exists/i.test(message)
        return yield* refused(isTaken ? referenceTaken : code ?? `http_${status}`, message)
      }
      if (status >= 400) return yield* refused(`http_${status}`, "Paystack gave no reason.")
      return yield* decodeEnvelope(json).pipe(
        Effect.flatMap(({ data }) => Schema.decodeUnknownEffect(schema)(data)),
        Effect.mapError(() => nonsense("Paystack's answer has another shape."))
      )
    }
  )

/** Requests to Paystack, their envelopes opened. */
export const paystackCalls = Effect.fnUntraced(function*({ apiBase, secretKey }: PaystackSettings) {
  const client = (yield* HttpClient.HttpClient).pipe(
    HttpClient.mapRequest((request) =>
      request.pipe(
        HttpClientRequest.prependUrl(apiBase),
        HttpClientRequest.bearerToken(secretKey),
        HttpClientRequest.acceptJson
      )
    )
  )
  const call = <S extends Schema.Codec<unknown, unknown>>(schema: S, request: HttpClientRequest.HttpClientRequest) =>
    client.execute(request).pipe(
      Effect.mapError(() => away("Paystack cannot be reached.")),
      Effect.flatMap(answerOf(schema))
    )
  return {
    get: <S extends Schema.Codec<unknown, unknown>>(schema: S, path: string, query: Record<string, string> = {}) =>
      call(schema, HttpClientRequest.get(path).pipe(HttpClientRequest.setUrlParams(query))),
    post: <S extends Schema.Codec<unknown, unknown>>(schema: S, path: string, body: object) =>
      call(schema, HttpClientRequest.post(path).pipe(HttpClientRequest.bodyJsonUnsafe(body)))
  }
})
export type PaystackCalls = Effect.Success<ReturnType<typeof paystackCalls>>
