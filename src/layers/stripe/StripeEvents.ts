import { Effect, Option, Schema } from "effect"
import { PaymentId } from "../../domain/Ids.ts"
import { WebhookOtherMode } from "../../domain/Payments.ts"
import { InvalidRequest } from "../../domain/Problem.ts"
import type { EventFacts } from "../../services/Gateway.ts"

// No control characters and no lone surrogates: what is kept of an event goes into text columns, which take neither.
const Word = Schema.String.check(Schema.isPattern(/^\P{C}{1,255}$/u))
const Event = Schema.fromJsonString(Schema.Struct({
  id: Word,
  type: Word,
  livemode: Schema.Boolean,
  /** The connected account that it happened on. */
  account: Schema.optionalKey(Word),
  data: Schema.Struct({
    object: Schema.Struct({
      id: Schema.optionalKey(Word),
      object: Word,
      client_reference_id: Schema.optionalKey(Schema.NullOr(Schema.String)),
      metadata: Schema.optionalKey(Schema.NullOr(Schema.Record(Schema.String, Schema.Unknown)))
    })
  })
}))

const about: Record<string, EventFacts["about"]> = {
  "checkout.session": "charge",
  payment_intent: "charge",
  charge: "charge",
  refund: "refund",
  payout: "payout",
  dispute: "dispute"
}

const paymentId = Schema.decodeUnknownOption(PaymentId)
const word = Schema.decodeUnknownOption(Word)

/** Reads an event whose signature has been verified. */
export const decodeStripeEvent = (livemode: boolean) =>
  Effect.fnUntraced(
    function*(body: string): Effect.fn.Return<EventFacts, InvalidRequest | WebhookOtherMode> {
      const event = yield* Schema.decodeEffect(Event)(body).pipe(
        Effect.mapError(() =>
          new InvalidRequest({ errors: [{ pointer: "/body", detail: "The body is not an event of Stripe" }] })
        )
      )
      const isForeign = event.livemode !== livemode
      // Stripe sends the test events of connected accounts to the live endpoint too, and gives up an endpoint that refuses them.
      const isTold = livemode && event.account !== undefined
      if (isForeign && !isTold) {
        return yield* new WebhookOtherMode({
          detail: `The event is in ${event.livemode ? "live" : "test"} mode, the secret key is not.`
        })
      }
      if (isForeign) {
        const none = Option.none()
        return {
          eventId: event.id,
          type: event.type,
          about: "other",
          reference: none,
          operationId: none,
          paymentId: none
        }
      }
      const { client_reference_id, id, metadata, object } = event.data.object
      const reference = Option.fromUndefinedOr(
        id === undefined || event.account === undefined ? id : `${event.account}/${id}`
      )
      return {
        eventId: event.id,
        type: event.type,
        about: about[object] ?? "other",
        reference,
        operationId: word(object === "payout" ? metadata?.["payout_id"] : metadata?.["refund_id"]),
        paymentId: paymentId(client_reference_id ?? metadata?.["payment_id"])
      }
    }
  )
