import { Effect, Option } from "effect"
import type { Stripe } from "stripe"
import type { PayoutId } from "../../domain/Ids.ts"
import type { Currency } from "../../domain/Money.ts"
import type { Gateway, PayoutDestination } from "../../services/Gateway.ts"
import { mayBe } from "../../services/GatewayLists.ts"
import { ask, listed, paged, refused, rowOf } from "./StripeCalls.ts"
import { toStripe } from "./StripeMoney.ts"
import * as Objects from "./StripeObjects.ts"

const bankToken = (
  destination: Extract<PayoutDestination, { readonly type: "bank" }>,
  currency: Currency
): Stripe.TokenCreateParams => ({
  bank_account: {
    country: destination.country,
    currency: currency.toLowerCase(),
    account_holder_name: destination.accountName,
    account_holder_type: "individual",
    account_number: destination.accountNumber,
    routing_number: destination.bankCode
  }
})

const recipientParams = (country: string, token: string, payoutId: PayoutId): Stripe.AccountCreateParams => ({
  type: "custom",
  country,
  business_type: "individual",
  capabilities: { transfers: { requested: true } },
  tos_acceptance: { service_agreement: "recipient" },
  settings: { payouts: { schedule: { interval: "manual" } } },
  external_account: token,
  metadata: { payout_id: payoutId }
})

/**
 * Stripe pays others only through a connected account: the recipient is one, the money is transferred to it and paid out
 * from there. A payout that fails leaves the money on that account, so its transfer is reversed before failure is told.
 */
export const payouts = (stripe: Stripe) => {
  const createRecipient: Gateway["createRecipient"] = Effect.fnUntraced(function*(recipient) {
    const { currency, destination, payoutId } = recipient
    if (destination.type !== "bank") {
      return yield* refused("unsupported_destination", "Stripe pays to bank accounts only.")
    }
    const token = yield* ask(
      Objects.Identified,
      () => stripe.tokens.create(bankToken(destination, currency), { idempotencyKey: `${payoutId}:token` })
    )
    const params = recipientParams(destination.country, token.id, payoutId)
    const account = yield* ask(
      Objects.Identified,
      () => stripe.accounts.create(params, { idempotencyKey: `${payoutId}:recipient` })
    )
    return account.id
  })

  /** Once for good: Stripe forgets the key of a reversal after a day, and then refuses one that was made already. */
  const takeBack = (transfer: string, payoutId: string) =>
    ask(
      Objects.Identified,
      () => stripe.transfers.createReversal(transfer, {}, { idempotencyKey: `${payoutId}:reversal` })
    ).pipe(
      Effect.catchTag("ProviderRefused", ({ detail }) =>
        Effect.flatMap(
          ask(Objects.Transfer, () => stripe.transfers.retrieve(transfer)),
          ({ reversed }) =>
            reversed
              ? Effect.void
              : Effect.fail(Objects.nonsense(`The payout failed, but its transfer stays: ${detail}`))
        ))
    )

  type Money = Pick<Parameters<Gateway["createPayout"]>[0], "amount" | "currency" | "payoutId">
  const moneyOf = ({ amount, currency }: Money) => ({
    amount: toStripe(amount, currency),
    currency: currency.toLowerCase()
  })

  /** The second step. Where it is refused the first one is undone, so that refused means that the money is ours. */
  const payOut = Effect.fnUntraced(function*(account: string, transfer: string, payout: Money) {
    const { payoutId } = payout
    const made = yield* ask(Objects.Payout, () =>
      stripe.payouts.create(
        { ...moneyOf(payout), metadata: { payout_id: payoutId, transfer } },
        { idempotencyKey: `${payoutId}:payout`, stripeAccount: account }
      )).pipe(Effect.tapErrorTag("ProviderRefused", () => takeBack(transfer, payoutId)))
    return yield* Objects.payoutOf(account, made)
  })

  const create = Effect.fnUntraced(function*(payout: Parameters<Gateway["createPayout"]>[0]) {
    const { payoutId, recipient } = payout
    const transfer = yield* ask(Objects.Identified, () =>
      stripe.transfers.create(
        { ...moneyOf(payout), destination: recipient, transfer_group: payoutId, metadata: { payout_id: payoutId } },
        { idempotencyKey: `${payoutId}:transfer` }
      ))
    return yield* payOut(recipient, transfer.id, payout)
  })

  const resume: Gateway["resumePayout"] = (payout) => {
    const [account = "", transfer = ""] = payout.begun.split("/", 2)
    return payOut(account, transfer, payout)
  }

  const settled = Effect.fnUntraced(function*(account: string, payout: typeof Objects.Payout.Type) {
    const report = yield* Objects.payoutOf(account, payout)
    const transfer = payout.metadata?.["transfer"]
    if (report.status === "failed" && transfer !== undefined) {
      yield* takeBack(transfer, Option.getOrElse(report.operationId, () => payout.id))
    }
    return report
  })

  const retrieve = Effect.fnUntraced(function*(reference: string) {
    const [account = "", id = ""] = reference.split("/", 2)
    if (id === "") return yield* refused("not_found", "That is no payout's reference.")
    const found = yield* ask(Objects.Payout, () => stripe.payouts.retrieve(id, {}, { stripeAccount: account }))
    return yield* settled(account, found)
  })

  const ofTransfer = Effect.fnUntraced(function*(transfer: typeof Objects.Transfer.Type) {
    const account = typeof transfer.destination === "string" ? transfer.destination : transfer.destination?.id
    const id = transfer.metadata?.["payout_id"]
    if (account === undefined || id === undefined) return []
    const { items, strange } = yield* listed(
      () => stripe.payouts.list({ limit: 100 }, { stripeAccount: account }),
      rowOf(Objects.Payout, Effect.succeed)
    )
    const payout = items.find(({ metadata }) => metadata?.["payout_id"] === id)
    if (payout !== undefined) return [yield* settled(account, payout)]
    // It may be the payout: then the transfer is not all there is.
    if (strange.some((one) => mayBe(one, id))) {
      return yield* Objects.nonsense("The payout of a transfer cannot be read.")
    }
    return [yield* Objects.begunOf(account, transfer)]
  })

  /** Each is on an account of its own, so the transfers lead to them. */
  const list = (page: Parameters<Gateway["listPayouts"]>[0]) =>
    Effect.map(
      listed(() => stripe.transfers.list(paged(page, 20)), rowOf(Objects.Transfer, ofTransfer), 5),
      ({ items, ...rest }) => ({ ...rest, items: items.flat() })
    )
  return { create, createRecipient, resume, retrieve, list }
}
