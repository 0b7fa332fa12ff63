import { Effect, Option, Result, Schema } from "effect"
import { Digest, type Mac } from "effect/crypto"
import { Hex } from "effect/encoding"
import { PaymentId } from "../../domain/Ids.ts"
import { WebhookForged, WebhookOtherMode } from "../../domain/Payments.ts"
import { InvalidRequest } from "../../domain/Problem.ts"
import type { EventFacts, SignatureProof } from "../../services/Gateway.ts"

// No control characters and no lone surrogates: what is kept of an event goes into text columns, which take neither.
const Word = Schema.String.check(Schema.isPattern(/^\P{C}{1,128}$/u))
const Id = Schema.Union([Schema.Int, Word])
const Event = Schema.fromJsonString(Schema.Struct({
  // With an id behind it, it is what the event is kept under.
  event: Schema.String.check(Schema.isPattern(/^\P{C}{1,100}$/u)),
  data: Schema.Struct({
    id: Schema.optionalKey(Schema.NullOr(Id)),
    domain: Schema.optionalKey(Schema.NullOr(Schema.String)),
    reference: Schema.optionalKey(Schema.NullOr(Word)),
    transaction_reference: Schema.optionalKey(Schema.NullOr(Word)),
    refund_reference: Schema.optionalKey(Schema.NullOr(Word)),
    transaction: Schema.optionalKey(
      Schema.Union([Schema.Null, Id, Schema.Struct({ reference: Schema.optionalKey(Word) })])
    )
  })
}))

const aboutOf = (event: string): EventFacts["about"] => {
  if (event.startsWith("charge.dispute.")) return "dispute"
  if (event.startsWith("charge.")) return "charge"
  if (event.startsWith("refund.")) return "refund"
  return event.startsWith("transfer.") ? "payout" : "other"
}

const paymentId = Schema.decodeUnknownOption(PaymentId)

/**
 * Reads an event whose signature has been verified. Paystack gives events no id: they are told apart by what happened to
 * which object, and where the object has no id either, by the exact bytes: two refunds of one amount may look the same.
 */
export const decodePaystackEvent = (livemode: boolean) =>
  Effect.fnUntraced(
    function*(body: string) {
      const event = yield* Schema.decodeEffect(Event)(body).pipe(
        Effect.mapError(() =>
          new InvalidRequest({ errors: [{ pointer: "/body", detail: "The body is not an event of Paystack" }] })
        )
      )
      const { domain, id, reference, refund_reference, transaction, transaction_reference } = event.data
      if (typeof domain === "string" && (domain === "live") !== livemode) {
        return yield* new WebhookOtherMode({ detail: `The event is of the ${domain} domain, the secret key is not.` })
      }
      const about = aboutOf(event.event)
      const nested = typeof transaction === "object" ? transaction?.reference : undefined
      const charge = about === "charge" ? reference : transaction_reference ?? nested
      const named = id ?? undefined
      const digest = Hex.encode(
        yield* Effect.orDie((yield* Digest.Digest).digest(Digest.sha256, new TextEncoder().encode(body)))
      )
      return {
        eventId: `${event.event}:${named ?? refund_reference ?? digest}`,
        type: event.event,
        about,
        reference: Option.fromNullishOr(
          about === "dispute" || about === "refund" ? (named === undefined ? named : String(named)) : reference
        ),
        operationId: about === "payout" ? Option.fromNullishOr(reference) : Option.none(),
        paymentId: paymentId(charge)
      } satisfies EventFacts
    }
  )

/** `x-paystack-signature` is the HMAC-SHA512 of the raw body in hex; it has no time, so only duplicates are told. */
export const readPaystackSignature = Effect.fnUntraced(function*(
  given: { readonly key: Mac.Key; readonly header: string | undefined; readonly rawBody: Uint8Array }
): Effect.fn.Return<SignatureProof, WebhookForged> {
  const { header, key, rawBody } = given
  const tag = /^[0-9a-f]{128}$/i.test(header ?? "") ? Hex.decode((header ?? "").toLowerCase()) : undefined
  if (tag === undefined || Result.isFailure(tag)) {
    return yield* new WebhookForged({ detail: "The signature header is missing or malformed." })
  }
  const body = new TextDecoder().decode(rawBody)
  return { provider: "paystack", keys: [key], signed: rawBody, tags: [tag.success], body }
})
