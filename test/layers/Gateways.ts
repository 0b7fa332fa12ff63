import { NodeCrypto, NodeHttpClient } from "@effect/platform-node"
import { Context, DateTime, Effect, Layer, Logger, Option, Redacted } from "effect"
import { PaymentId, PayoutId, RefundId } from "../../src/domain/Ids.ts"
import { Amount, type Currency } from "../../src/domain/Money.ts"
import { Fakes } from "../../src/layers/fakes/Fakes.ts"
import { makePaystackGateway } from "../../src/layers/paystack/PaystackGateway.ts"
import { makeSandboxGateway } from "../../src/layers/SandboxGateway.ts"
import { makeStripeGateway } from "../../src/layers/stripe/StripeGateway.ts"
import type { Gateway, PayoutDestination, ProviderPayout } from "../../src/services/Gateway.ts"
import { newId } from "../../src/services/NewId.ts"
import { Sandbox, sandboxSecrets } from "./sandbox.ts"

export const secrets = {
  stripe: "sk_test_contract",
  stripeWebhook: "whsec_test_secret",
  stripeConnect: "whsec_test_connected",
  paystack: "sk_test_paystack"
}

export const fakes = Fakes.layer({
  host: "127.0.0.1",
  stripe: {
    port: 0,
    secretKey: secrets.stripe,
    webhookSecret: secrets.stripeWebhook,
    connectWebhookSecret: secrets.stripeConnect,
    webhookUrl: undefined
  },
  paystack: { port: 0, secretKey: secrets.paystack, webhookUrl: undefined }
})

/** What the contract suite needs of a provider beside its gateway: the people and banks behind it. */
export interface Bench {
  readonly gateway: Gateway
  readonly currency: Currency
  /** Pays out, or fails to, where the provider does not by itself. */
  settlePayout(payout: ProviderPayout, outcome: "paid" | "failed"): Effect.Effect<void>
  settleRefund(reference: string): Effect.Effect<void>
  /** An account that a payout waits on until it is told how it ends. */
  readonly destination: PayoutDestination
}

const post = (url: string, body: object, headers: Record<string, string> = {}) =>
  Effect.promise(() =>
    fetch(url, {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body: JSON.stringify(body)
    }).then((answer) => answer.status)
  )

const bank = (country: string, accountNumber: string): PayoutDestination => ({
  type: "bank",
  country,
  bankCode: "058",
  accountNumber,
  accountName: "Test Account"
})

/** The adapters, to be told where their provider is. */
export const gatewayAt = {
  stripe: (apiBase: string) =>
    makeStripeGateway({
      apiBase,
      secretKey: Redacted.make(secrets.stripe),
      webhookSecrets: [Redacted.make(secrets.stripeWebhook), Redacted.make(secrets.stripeConnect)],
      returnUrl: "https://app.example.com/done"
    }),
  paystack: (apiBase: string) => makePaystackGateway({ apiBase, secretKey: Redacted.make(secrets.paystack) }),
  sandbox: (apiBase: string) =>
    makeSandboxGateway({
      apiBase,
      secretKey: Redacted.make(sandboxSecrets.SANDBOX_SECRET_KEY),
      webhookSecret: Redacted.make(sandboxSecrets.SANDBOX_WEBHOOK_SECRET)
    })
}

const stripe = Effect.gen(function*() {
  const { stripe: { url } } = yield* Fakes
  const gateway = yield* gatewayAt.stripe(url)
  const settle = (body: object) => Effect.asVoid(post(`${url}/_fake/settle`, body))
  const bench: Bench = {
    gateway,
    currency: "USD",
    destination: bank("US", "000123456789"),
    settlePayout: ({ reference }, outcome) => settle({ kind: "payout", id: reference.split("/")[1], outcome }),
    settleRefund: () => Effect.void
  }
  return bench
})

const paystack = Effect.gen(function*() {
  const { paystack: { url } } = yield* Fakes
  const gateway = yield* gatewayAt.paystack(url)
  const settle = (body: object) => Effect.asVoid(post(`${url}/_fake/settle`, body))
  const bench: Bench = {
    gateway,
    currency: "NGN",
    destination: bank("NG", "0001234567"),
    settlePayout: ({ reference }, outcome) =>
      settle({ kind: "payout", id: reference, outcome: outcome === "paid" ? "success" : "failed" }),
    settleRefund: (reference) => settle({ kind: "refund", id: reference, outcome: "processed" })
  }
  return bench
})

const sandbox = Effect.gen(function*() {
  const { base } = yield* Sandbox
  const gateway = yield* gatewayAt.sandbox(base)
  const authorization = `Bearer ${sandboxSecrets.SANDBOX_SECRET_KEY}`
  const bench: Bench = {
    gateway,
    currency: "NGN",
    destination: bank("NG", "0001230002"),
    settlePayout: ({ reference }, outcome) =>
      Effect.asVoid(
        post(`${base}/v1/payouts/${reference}/settle`, { outcome: outcome === "paid" ? "pay" : "fail" }, {
          authorization
        })
      ),
    settleRefund: () => Effect.void
  }
  return bench
})

/** The three providers, each behind its real HTTP. */
export class Benches extends Context.Service<Benches, Readonly<Record<"stripe" | "paystack" | "sandbox", Bench>>>()(
  "midnight/test/Benches"
) {
  static readonly layer = Layer.effect(
    Benches,
    Effect.all({ stripe, paystack, sandbox })
  ).pipe(
    Layer.provideMerge(Layer.mergeAll(fakes, Sandbox.layer)),
    Layer.provideMerge(Logger.layer([])),
    Layer.provide([NodeHttpClient.layerUndici, NodeCrypto.layerMac, NodeCrypto.layerDigest])
  )
}

export const amount = (units: number) => Amount.make(BigInt(units))

export const askFor = Effect.fnUntraced(function*({ currency }: Bench, units = 25_000) {
  return {
    paymentId: yield* newId(PaymentId),
    amount: amount(units),
    currency,
    returnUrl: Option.some("https://app.example.com/done"),
    email: Option.some("payer@example.com")
  }
})

export const checkOut = (charge: { readonly nextAction: Option.Option<{ readonly url: string }> }, outcome: string) =>
  Effect.map(
    post(Option.match(charge.nextAction, { onNone: () => "", onSome: ({ url }) => url }), { outcome }),
    (status) => {
      if (status !== 200) throw new Error(`the checkout answered ${status}`)
    }
  )

export const paidCharge = Effect.fnUntraced(function*(bench: Bench, units = 25_000) {
  const asked = yield* askFor(bench, units)
  const made = yield* bench.gateway.createCharge(asked)
  yield* checkOut(made, "succeed")
  return { asked, made, paid: yield* bench.gateway.retrieveCharge(made.reference) }
})

export const refundOf = Effect.fnUntraced(function*(bench: Bench, chargeReference: string, units: number) {
  return { refundId: yield* newId(RefundId), chargeReference, amount: amount(units), currency: bench.currency }
})

export const payoutTo = Effect.fnUntraced(function*({ currency, destination, gateway }: Bench, units = 10_000) {
  const payoutId = yield* newId(PayoutId)
  const recipient = yield* gateway.createRecipient({ payoutId, destination, currency })
  return { payoutId, recipient, amount: amount(units), currency }
})

/** All pages of a list, from before the test began. */
export const everything = Effect.fnUntraced(function*<A>(
  list: (page: { readonly since: DateTime.Utc; readonly cursor: Option.Option<string> }) => Effect.Effect<
    { readonly items: ReadonlyArray<A>; readonly next: Option.Option<string> },
    unknown
  >
) {
  const since = DateTime.makeUnsafe(Date.now() - 3_600_000)
  const items: Array<A> = []
  let cursor: Option.Option<string> = Option.none()
  do {
    const page = yield* list({ since, cursor })
    items.push(...page.items)
    cursor = page.next
  } while (Option.isSome(cursor))
  return items
})
