import { Clock, Effect, Queue, Redacted, Schedule, Schema, Semaphore } from "effect"
import { HttpClient, HttpClientRequest } from "effect/http"
import { createHmac } from "node:crypto"
import type { Charge, ChargeBook } from "./ChargeBook.ts"

/** `t=<unix seconds>,v1=<hex HMAC-SHA256 of "t.body">`: the scheme Stripe uses, so that receivers need only one. */
export const sign = (secret: Redacted.Redacted<string>, unixSeconds: number, body: string): string => {
  const digest = createHmac("sha256", Redacted.value(secret)).update(`${unixSeconds}.${body}`).digest("hex")
  return `t=${unixSeconds},v1=${digest}`
}

/** The event that a charge was settled: the same id and the same bytes on every delivery. */
export const eventBody = (charge: Charge): string =>
  JSON.stringify({
    id: `evt_${charge.id}_${charge.status}`,
    type: `charge.${charge.status}`,
    created: Math.floor((charge.settledAt ?? charge.createdAt) / 1_000),
    livemode: false,
    data: {
      charge: {
        id: charge.id,
        reference: charge.reference,
        status: charge.status,
        amount: Number(charge.amount),
        currency: charge.currency
      }
    }
  })

class NotDelivered extends Schema.TaggedError<NotDelivered>()("NotDelivered", { reason: Schema.String }) {}

// After 0.5 s, 1 s, 2 s … a quarter of an hour at most, for three days, as providers do.
const retries = Schedule.min([Schedule.exponential("500 millis"), Schedule.spaced("15 minutes")]).pipe(
  Schedule.jittered,
  Schedule.upTo({ duration: "72 hours" })
)
const mostAtOnce = 16

/**
 * Tells the receiver of every settled charge, until it says 2xx. What was not told before a crash is told after it. The
 * answer is how a charge is announced.
 */
export const makeWebhooks = Effect.fnUntraced(function*(
  book: ChargeBook,
  to: { readonly url: string; readonly secret: Redacted.Redacted<string> }
) {
  const client = yield* HttpClient.HttpClient
  const places = yield* Semaphore.make(mostAtOnce)
  const queue = yield* Queue.unbounded<Charge>()

  const once = Effect.fn("Webhooks.deliver")(function*(charge: Charge) {
    const body = eventBody(charge)
    const now = Math.floor((yield* Clock.currentTimeMillis) / 1_000)
    const { status } = yield* HttpClientRequest.post(to.url).pipe(
      HttpClientRequest.bodyText(body, "application/json"),
      HttpClientRequest.setHeader("sandbox-signature", sign(to.secret, now, body)),
      client.execute,
      Effect.tap((response) => Effect.ignore(response.text)),
      Effect.timeout("10 seconds"),
      Effect.mapError((error) => new NotDelivered({ reason: error._tag }))
    )
    if (status < 200 || status > 299) return yield* new NotDelivered({ reason: `status ${status}` })
  })

  const deliver = (charge: Charge) =>
    places.withPermit(once(charge)).pipe(
      Effect.tapError(({ reason }) => Effect.logDebug("An event was not acknowledged", { reason })),
      Effect.retry(retries),
      Effect.andThen(Effect.promise(() => book.delivered(charge.id))),
      Effect.catchTag(
        "NotDelivered",
        () => Effect.logWarning("An event was given up after 72 h", { charge_id: charge.id })
      )
    )

  // A fiber each, so that one that waits for its next attempt holds up no other.
  const dispatch = Effect.flatMap(Queue.take(queue), (charge) => Effect.forkChild(deliver(charge)))
  yield* Effect.forkScoped(Effect.forever(dispatch))
  for (const charge of book.undelivered()) yield* Queue.offer(queue, charge)
  return (charge: Charge): Effect.Effect<void> => Effect.asVoid(Queue.offer(queue, charge))
})
