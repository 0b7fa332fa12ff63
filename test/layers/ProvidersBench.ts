import { Context, Effect, Layer, Logger } from "effect"
import { OperationId, type UserId } from "../../src/domain/Ids.ts"
import { Amount, type Currency } from "../../src/domain/Money.ts"
import { MoneyRequest } from "../../src/domain/MoneyRequest.ts"
import type { Provider } from "../../src/domain/Payments.ts"
import { walletOf } from "../../src/domain/Wallet.ts"
import { Fakes } from "../../src/layers/fakes/Fakes.ts"
import { PaymentsLive } from "../../src/layers/PaymentsLive.ts"
import { WalletLive } from "../../src/layers/WalletLive.ts"
import { Health } from "../../src/services/Health.ts"
import { Ledger } from "../../src/services/Ledger.ts"
import { newId } from "../../src/services/NewId.ts"
import { Payments } from "../../src/services/Payments.ts"
import { Users } from "../../src/services/Users.ts"
import { fakes, secrets } from "./Gateways.ts"
import { moneyRequest } from "./moneyRequest.ts"
import { serveHooks } from "./PaymentsBench.ts"
import { PgTest } from "./PgTest.ts"
import { testConfig } from "./TestConfig.ts"

export class Hooked extends Context.Service<Hooked, { readonly base: string }>()("midnight/test/Hooked") {}

export const put = (url: string, body: object) =>
  Effect.promise(() => fetch(url, { method: "PUT", body: JSON.stringify(body) }).then((answer) => answer.status))

const hooks = Layer.effect(
  Hooked,
  Effect.gen(function*() {
    const base = yield* serveHooks
    const { paystack, stripe } = yield* Fakes
    yield* put(`${stripe.url}/_fake/webhook`, { url: `${base}/api/webhooks/stripe` })
    yield* put(`${paystack.url}/_fake/webhook`, { url: `${base}/api/webhooks/paystack` })
    return { base }
  })
)

const config = Layer.unwrap(Effect.map(Fakes, ({ paystack, stripe }) =>
  testConfig({
    STRIPE_SECRET_KEY: secrets.stripe,
    STRIPE_WEBHOOK_SECRET: secrets.stripeWebhook,
    STRIPE_CONNECT_WEBHOOK_SECRET: secrets.stripeConnect,
    STRIPE_API_BASE: stripe.url,
    PAYSTACK_SECRET_KEY: secrets.paystack,
    PAYSTACK_API_BASE: paystack.url,
    RETURN_URL_ORIGINS: "https://app.example.com",
    ENCRYPTION_SECRET: "a secret for sealed values in tests of payments",
    CURRENCIES: "NGN,USD,EUR,KWD,XOF"
  })))

const users = Layer.mock(Users, {
  emailOf: () => Effect.succeedSome("payer@example.com"),
  exists: () => Effect.succeed(true)
})
export const ProvidersBench = hooks.pipe(
  Layer.provideMerge(
    PaymentsLive.pipe(Layer.provideMerge(WalletLive), Layer.provide([Health.layer, users]), Layer.provide(config))
  ),
  Layer.provideMerge(fakes),
  Layer.provideMerge(PgTest.layer),
  Layer.provideMerge(Logger.layer([]))
)

/** Charges through whoever takes it, or the provider named. */
export const pay = Effect.fnUntraced(function*(user: UserId, currency: Currency, amount: number, provider?: Provider) {
  const payments = yield* Payments
  const request = { amount: Amount.make(BigInt(amount)), currency, ...(provider === undefined ? {} : { provider }) }
  return yield* payments.charge(request).pipe(
    Effect.provideService(MoneyRequest, moneyRequest(user, yield* newId(OperationId)))
  )
})
export const balance = (user: UserId, currency: Currency) =>
  Effect.flatMap(Ledger, (ledger) => Effect.map(ledger.balance(walletOf(user), currency), (b) => Number(b.balance)))
