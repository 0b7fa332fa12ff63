import { DateTime, Effect, Option, Redacted, Schema } from "effect"
import { Stripe } from "stripe"
import { ProviderUnavailable } from "../../domain/Payments.ts"
import { type Gateway, type ProviderError, ProviderRefused } from "../../services/Gateway.ts"
import { readRows, wordIn } from "../../services/GatewayLists.ts"
import { nonsense } from "./StripeObjects.ts"

export interface StripeSettings {
  readonly secretKey: Redacted.Redacted<string>
  /** One for each endpoint that is configured at Stripe: of the account's own events, and of connected accounts. */
  readonly webhookSecrets: ReadonlyArray<Redacted.Redacted<string>>
  readonly apiBase: string
  /** Where the checkout sends payers whose charge names no return URL: Stripe demands one. */
  readonly returnUrl: string | undefined
  /** Milliseconds for one request, which is part of a call. Default 10 s. */
  readonly timeout?: number
}

const provider = "stripe" as const
export const refused = (code: string, detail: string) => new ProviderRefused({ provider, code, detail })
const away = (detail: string, retryAfter = 5) => new ProviderUnavailable({ provider, retry_after: retryAfter, detail })

/**
 * Even without retries the package sends once more what a closed connection cut off, by the error's code (its `_shouldRetry`): a call
 * that nobody counted, made after its time was over. Without a code it does not.
 */
const oneAttempt = () => {
  const client = Stripe.createNodeHttpClient()
  const makeRequest = client.makeRequest.bind(client)
  client.makeRequest = (...request) =>
    makeRequest(...request).catch((cause: unknown) => {
      throw new Error("The connection broke.", { cause })
    })
  return client
}

/** Stripe's package without its own retries: ours are counted, limited and spent from a budget. */
export const stripeClient = ({ apiBase, secretKey, timeout = 10_000 }: StripeSettings): Stripe => {
  const { hostname, port, protocol } = new URL(apiBase)
  const plain = protocol === "http:"
  return new Stripe(Redacted.value(secretKey), {
    host: hostname,
    port: port === "" ? (plain ? 80 : 443) : port,
    protocol: plain ? "http" : "https",
    maxNetworkRetries: 0,
    httpClient: oneAttempt(),
    timeout,
    telemetry: false
  })
}

/** What may pass is unavailable; so is a key that Stripe does not accept, which says nothing about the payment. */
const errorOf = (error: unknown): ProviderError => {
  const { errors } = Stripe
  if (!(error instanceof errors.StripeError)) return nonsense("The answer could not be read.")
  const status = error.statusCode ?? 0
  if (error instanceof errors.StripeConnectionError) return away("Stripe cannot be reached.")
  if (error instanceof errors.StripeAuthenticationError || error instanceof errors.StripePermissionError) {
    return away("Stripe does not accept the secret key.", 60)
  }
  if (status === 429 || status === 409 || status >= 500) return away(`Stripe answered with status ${status}.`)
  if (status < 400) return nonsense("The answer could not be read.")
  return refused(error.code ?? error.type, error.message.slice(0, 500))
}

/** One request, its answer checked. */
export const ask = <S extends Schema.Codec<unknown, unknown>>(
  schema: S,
  request: () => Promise<unknown>
): Effect.Effect<S["Type"], ProviderError> =>
  Effect.tryPromise({ try: request, catch: errorOf }).pipe(
    Effect.flatMap((answer) =>
      Effect.mapError(
        Schema.decodeUnknownEffect(schema)(answer),
        () => nonsense("Stripe's answer has another shape.")
      )
    )
  )

const Page = Schema.Struct({ data: Schema.Array(Schema.Unknown), has_more: Schema.Boolean })
type Page = Parameters<Gateway["listCharges"]>[0]

/** The parameters of one page of a list. */
export const paged = ({ cursor, since }: Page, limit: number) => ({
  created: { gte: Math.floor(DateTime.toEpochMillis(since) / 1_000) },
  limit,
  ...(Option.isSome(cursor) ? { starting_after: cursor.value } : {})
})

/** One page, its rows read one by one. The next one begins behind the last row that has a name. */
export const listed = Effect.fnUntraced(function*<A>(
  request: () => Promise<unknown>,
  read: (row: unknown) => Effect.Effect<ReadonlyArray<A>, ProviderError>,
  concurrency = 1
) {
  const { data, has_more } = yield* ask(Page, request)
  const names = data.flatMap((row) => wordIn(row, "id") ?? [])
  const next = Option.filter(Option.fromUndefinedOr(names.at(-1)), () => has_more)
  if (has_more && Option.isNone(next)) return yield* nonsense("No row of a page has a name to go on from.")
  return { ...(yield* readRows(data, "id", read, { concurrency })), next }
})

/** Reads a row of this shape. */
export const rowOf = <S extends Schema.Codec<unknown, unknown>, A>(
  schema: S,
  toItem: (row: S["Type"]) => Effect.Effect<A, ProviderError>
) =>
(row: unknown): Effect.Effect<ReadonlyArray<A>, ProviderError> =>
  Schema.decodeUnknownEffect(schema)(row).pipe(
    Effect.mapError(() => nonsense("A row of the list has another shape.")),
    Effect.flatMap(toItem),
    Effect.map((item) => [item])
  )
