import { Clock, DateTime, Effect, Option, Redacted, Schema } from "effect"
import { Digest, Mac } from "effect/crypto"
import type { Headers } from "effect/http"
import type { Currency } from "../../domain/Money.ts"
import { maxAmount } from "../../domain/Money.ts"
import {
  type Bounds,
  type Gateway,
  type Movement,
  type PayoutDestination,
  VerifiedEvent
} from "../../services/Gateway.ts"
import { readRows } from "../../services/GatewayLists.ts"
import {
  away,
  nonsense,
  type PaystackCalls,
  paystackCalls,
  type PaystackSettings,
  referenceTaken,
  refused
} from "./PaystackCalls.ts"
import { decodePaystackEvent, readPaystackSignature } from "./PaystackEvents.ts"
import * as Objects from "./PaystackObjects.ts"

const provider = "paystack" as const

// Paystack's units are the ledger's in all five. The least is its own published one.
const least: Partial<Record<Currency, bigint>> = { NGN: 5_000n, GHS: 10n, ZAR: 100n, KES: 300n, USD: 200n }
const leastPayout: Partial<Record<Currency, bigint>> = { NGN: 100n, GHS: 100n, ZAR: 100n, KES: 100n }

export const paystackBounds = (movement: Movement, currency: Currency): Option.Option<Bounds> =>
  Option.map(
    Option.fromUndefinedOr((movement === "payout" ? leastPayout : least)[currency]),
    // Of what can be charged any part can be refunded.
    (min) => ({ min: movement === "refund" ? 1n : min, max: maxAmount, step: 1n })
  )

/** Longer than all attempts of one call can take: a checkout of that age was made by a call that is over. */
const orphanMillis = 60_000
const perPage = 100

const known = <A>(value: A | undefined) =>
  value === undefined ? Effect.fail(nonsense("Paystack names a status that is not known.")) : Effect.succeed(value)

type Page = Parameters<Gateway["listCharges"]>[0]

const pages = ({ get }: PaystackCalls) =>
<S extends Schema.Codec<unknown, unknown>, A>(
  path: string,
  key: "id" | "reference",
  schema: S,
  toItem: (item: S["Type"], now: number) => A | undefined
) =>
  Effect.fnUntraced(function*({ cursor, since }: Page) {
    const page = Option.getOrElse(cursor, () => "1")
    const query = { perPage: String(perPage), page, from: DateTime.formatIso(since) }
    const rows = yield* get(Schema.Array(Schema.Unknown), path, query)
    const now = yield* Clock.currentTimeMillis
    const read = yield* readRows(rows, key, (row) =>
      Schema.decodeUnknownEffect(schema)(row).pipe(
        Effect.mapError(() => nonsense("A row of the list has another shape.")),
        Effect.flatMap((item) => known(toItem(item, now))),
        Effect.map((item) => [item])
      ), { isNamedByUs: key === "reference" })
    return { ...read, next: rows.length < perPage ? Option.none<string>() : Option.some(String(Number(page) + 1)) }
  })

const charges = ({ get, post }: PaystackCalls) => {
  const transaction = (reference: string) =>
    get(Objects.Transaction, `/transaction/verify/${encodeURIComponent(reference)}`)
  const retrieve = Effect.fnUntraced(function*(reference: string) {
    return yield* known(Objects.chargeOf(yield* transaction(reference), yield* Clock.currentTimeMillis))
  })

  /**
   * The reference is taken: an earlier attempt got through and its answer was lost. Paystack never tells the checkout's
   * address again, so nobody can pay an unpaid one; it is given up, unless the attempt may still be under way.
   */
  const found = Effect.fnUntraced(function*(reference: string) {
    const existing = yield* transaction(reference)
    const now = yield* Clock.currentTimeMillis
    const charge = yield* known(Objects.chargeOf(existing, now))
    if (charge.status !== "requires_action") return charge
    if (Objects.ageOf(existing, now) > orphanMillis) return { ...charge, status: "canceled" as const }
    return yield* away("The checkout was made, but its address was lost on the way.", orphanMillis / 1_000)
  })

  const create: Gateway["createCharge"] = Effect.fnUntraced(function*(charge) {
    const { amount, currency, email, paymentId, returnUrl } = charge
    if (Option.isNone(email)) return yield* refused("email_required", "Paystack needs the payer's e-mail address.")
    const body = {
      email: email.value,
      amount: Number(amount),
      currency,
      reference: paymentId,
      metadata: { payment_id: paymentId },
      ...(Option.isSome(returnUrl) ? { callback_url: returnUrl.value } : {})
    }
    return yield* post(Objects.Initialized, "/transaction/initialize", body).pipe(
      Effect.map(({ authorization_url, reference }) => ({
        reference,
        paymentId: Option.some(paymentId),
        status: "requires_action" as const,
        amount,
        currency,
        livemode: false,
        nextAction: Option.some({ type: "redirect" as const, url: authorization_url }),
        fee: Option.none()
      })),
      Effect.catchTag(
        "ProviderRefused",
        (refusal) => refusal.code === referenceTaken ? found(paymentId) : Effect.fail(refusal)
      )
    )
  })
  return { create, retrieve, transaction }
}

const refunds = ({ get, post }: PaystackCalls, transaction: ReturnType<typeof charges>["transaction"]) => {
  /**
   * Paystack has no key for refunds. Ours stands in the merchant's note, and is looked for before a refund is made: callers
   * ask for the same refund one after another, never at once, and not soon after a question whose answer was lost.
   */
  const create = Effect.fnUntraced(function*(refund: Parameters<Gateway["createRefund"]>[0]) {
    const { amount, chargeReference, currency, refundId } = refund
    const { id } = yield* transaction(chargeReference)
    const query = { transaction: String(id), perPage: String(perPage) }
    const rows = yield* get(Schema.Array(Objects.Refund), "/refund", query)
    const merchant_note = Objects.noteOf(refundId)
    const existing = rows.find((row) => row.merchant_note === merchant_note)
    if (existing !== undefined) return yield* known(Objects.refundOf(existing))
    const body = { transaction: chargeReference, amount: Number(amount), currency, merchant_note }
    return yield* known(Objects.refundOf(yield* post(Objects.Refund, "/refund", body)))
  })
  const retrieve = Effect.fnUntraced(function*(reference: string) {
    return yield* known(Objects.refundOf(yield* get(Objects.Refund, `/refund/${encodeURIComponent(reference)}`)))
  })
  return { create, retrieve }
}

const bankTypes: Record<string, string> = { NG: "nuban", GH: "ghipss", ZA: "basa", KE: "kepss" }

const recipientOf = (destination: PayoutDestination, currency: Currency) => {
  if (destination.type === "mobile_money") {
    const { network, phone } = destination
    return { type: "mobile_money", name: network, account_number: phone, bank_code: network, currency }
  }
  const { accountName, accountNumber, bankCode, country } = destination
  const type = bankTypes[country]
  return type === undefined
    ? undefined
    : { type, name: accountName, account_number: accountNumber, bank_code: bankCode, currency }
}

const payouts = ({ get, post }: PaystackCalls) => {
  const createRecipient = Effect.fnUntraced(function*(recipient: Parameters<Gateway["createRecipient"]>[0]) {
    const body = recipientOf(recipient.destination, recipient.currency)
    if (body === undefined) return yield* refused("unsupported_country", "Paystack does not pay to that country.")
    return (yield* post(Objects.Recipient, "/transferrecipient", body)).recipient_code
  })
  const retrieve = Effect.fnUntraced(function*(reference: string) {
    const transfer = yield* get(Objects.Transfer, `/transfer/verify/${encodeURIComponent(reference)}`)
    return yield* known(Objects.payoutOf(transfer))
  })
  const create = Effect.fnUntraced(function*(payout: Parameters<Gateway["createPayout"]>[0]) {
    const { amount, currency, payoutId, recipient } = payout
    const body = { source: "balance", amount: Number(amount), currency, recipient, reference: payoutId }
    return yield* post(Objects.Transfer, "/transfer", { ...body, reason: "Wallet payout" }).pipe(
      Effect.flatMap((transfer) => known(Objects.payoutOf(transfer))),
      Effect.catchTag(
        "ProviderRefused",
        (refusal) => refusal.code === referenceTaken ? retrieve(payoutId) : Effect.fail(refusal)
      )
    )
  })
  return { create, createRecipient, retrieve }
}

/** The adapter to Paystack. The reference of a payment and of a payout is our own id of it. */
export const makePaystackGateway = Effect.fnUntraced(function*(settings: PaystackSettings) {
  const mac = yield* Mac.Mac
  const digest = yield* Digest.Digest
  const key = yield* Effect.orDie(Mac.key(Mac.hmacSha512, new TextEncoder().encode(Redacted.value(settings.secretKey))))
  const livemode = Redacted.value(settings.secretKey).startsWith("sk_live_")
  const calls = yield* paystackCalls(settings)
  const charge = charges(calls)
  const refund = refunds(calls, charge.transaction)
  const payout = payouts(calls)
  const decode = (body: string) => Effect.provideService(decodePaystackEvent(livemode)(body), Digest.Digest, digest)

  const gateway: Gateway = {
    provider,
    livemode,
    needsEmail: true,
    keyedRefunds: false,
    bounds: paystackBounds,
    reaches: (to) => to.type === "mobile_money" || bankTypes[to.country] !== undefined,
    createCharge: Effect.fn("PaystackGateway.createCharge")((asked) =>
      // A new checkout is in the mode of the key that made it.
      Effect.map(charge.create(asked), (made) => Option.isSome(made.nextAction) ? { ...made, livemode } : made)
    ),
    retrieveCharge: Effect.fn("PaystackGateway.retrieveCharge")(charge.retrieve),
    cancelCharge: () => Effect.fail(refused("not_supported", "Paystack cannot cancel a checkout.")),
    createRefund: Effect.fn("PaystackGateway.createRefund")(refund.create),
    retrieveRefund: Effect.fn("PaystackGateway.retrieveRefund")(refund.retrieve),
    createRecipient: Effect.fn("PaystackGateway.createRecipient")(payout.createRecipient),
    createPayout: Effect.fn("PaystackGateway.createPayout")(payout.create),
    // A transfer is one step, so what there is of it is all of it.
    resumePayout: ({ begun }) => payout.retrieve(begun),
    retrievePayout: Effect.fn("PaystackGateway.retrievePayout")(payout.retrieve),
    retrieveDispute: Effect.fn("PaystackGateway.retrieveDispute")((reference) =>
      Effect.map(calls.get(Objects.Dispute, `/dispute/${encodeURIComponent(reference)}`), Objects.disputeOf)
    ),
    listCharges: pages(calls)("/transaction", "reference", Objects.Transaction, Objects.chargeOf),
    listRefunds: pages(calls)("/refund", "id", Objects.Refund, Objects.refundOf),
    listPayouts: pages(calls)("/transfer", "reference", Objects.Transfer, Objects.payoutOf),
    listDisputes: pages(calls)("/dispute", "id", Objects.Dispute, Objects.disputeOf),
    verifyWebhook: Effect.fn("PaystackGateway.verifyWebhook")(function*(rawBody, headers: Headers.Headers) {
      const proof = yield* readPaystackSignature({ key, rawBody, header: headers["x-paystack-signature"] })
      return yield* VerifiedEvent.authenticate(proof, decode).pipe(Effect.provideService(Mac.Mac, mac))
    })
  }
  return gateway
})
