import { PgConnection } from "@effect/sql-pg"
import { Context, Effect, Layer, Logger, Schedule, Schema } from "effect"
import { HttpApi, HttpApiBuilder } from "effect/http-api"
import { createHmac } from "node:crypto"
import { OperationId, PaymentId, SessionId, UserId } from "../../src/domain/Ids.ts"
import { Amount } from "../../src/domain/Money.ts"
import { MoneyRequest } from "../../src/domain/MoneyRequest.ts"
import type { PaymentView } from "../../src/domain/Payments.ts"
import { CurrentUser } from "../../src/domain/Principal.ts"
import { walletOf } from "../../src/domain/Wallet.ts"
import { AdmissionLive } from "../../src/http/middleware/AdmissionLive.ts"
import { WebhooksApi } from "../../src/http/PaymentsApi.ts"
import { WebhooksHandlers } from "../../src/http/WebhooksHandlers.ts"
import { serveHttp } from "../../src/layers/HttpServer.ts"
import { LimitsLive } from "../../src/layers/LimitsLive.ts"
import { PaymentsLive } from "../../src/layers/PaymentsLive.ts"
import { WalletLive } from "../../src/layers/WalletLive.ts"
import { Health } from "../../src/services/Health.ts"
import { Ledger } from "../../src/services/Ledger.ts"
import { newId } from "../../src/services/NewId.ts"
import { Payments } from "../../src/services/Payments.ts"
import { Users } from "../../src/services/Users.ts"
import { moneyRequest } from "./moneyRequest.ts"
import { PgTest } from "./PgTest.ts"
import { addressOf, Sandbox, sandboxSecrets } from "./sandbox.ts"
import { testConfig } from "./TestConfig.ts"

const config = Layer.unwrap(Effect.map(Sandbox, ({ base }) =>
  testConfig({
    ...sandboxSecrets,
    SANDBOX_API_BASE: base,
    RETURN_URL_ORIGINS: "https://app.example.com",
    PAYOUT_APPROVAL_ABOVE: "10000",
    PAYOUT_DAILY_LIMIT: "60000",
    ENCRYPTION_SECRET: "a secret for sealed values in tests of payments",
    CURRENCIES: "NGN,USD",
    WEBHOOK_ALLOW_PRIVATE: "true"
  })))

const Money = PaymentsLive.pipe(
  Layer.provideMerge(WalletLive),
  Layer.provide([
    Health.layer,
    Layer.mock(Users, {
      emailOf: () => Effect.succeedSome("payer@example.com"),
      exists: () => Effect.succeed(true),
      rolesOf: () => Effect.succeedSome(["member" as const])
    })
  ]),
  Layer.provide(config)
)

/** The base URL of the webhook routes, on a port of their own. */
export const serveHooks = Effect.gen(function*() {
  const api = HttpApi.make("midnight").add(WebhooksApi)
  const limits = LimitsLive.pipe(Layer.provide(testConfig({ TRUSTED_PROXIES: "loopback" })))
  const routes = HttpApiBuilder.layer(api).pipe(
    Layer.provide(WebhooksHandlers),
    Layer.provide([AdmissionLive(), limits])
  )
  return yield* addressOf(serveHttp(routes, {
    port: 0,
    host: "127.0.0.1",
    portVariable: "PORT",
    corsOrigins: [],
    grace: 0,
    drain: 0
  }))
})

/** The webhook routes on a port, so that the sandbox's own deliveries reach them over HTTP. */
export class Hooks extends Context.Service<Hooks, { readonly base: string }>()("midnight/test/Hooks") {
  static readonly layer = Layer.effect(
    Hooks,
    Effect.gen(function*() {
      const base = yield* serveHooks
      yield* Effect.flatMap(Sandbox, (sandbox) => sandbox.forwardTo(base))
      return { base }
    })
  )
}

export const PaymentsBench = Hooks.layer.pipe(
  Layer.provideMerge(Money),
  Layer.provideMerge(Sandbox.layer),
  Layer.provideMerge(PgTest.layer),
  Layer.provideMerge(Logger.layer([]))
)

export const charge = Effect.fnUntraced(function*(userId: UserId, amount = 2_500, operationId?: OperationId) {
  const payments = yield* Payments
  return yield* payments.charge({ amount: Amount.make(BigInt(amount)), currency: "NGN" }).pipe(
    Effect.provideService(MoneyRequest, moneyRequest(userId, operationId ?? (yield* newId(OperationId))))
  )
})

export const as = (userId: UserId) =>
  Effect.provideService(CurrentUser, {
    userId,
    sessionId: SessionId.make("0198c0de-0000-7000-8000-000000000001"),
    roles: ["member"]
  })
export const confirm = (userId: UserId, id: PaymentId) => as(userId)(Effect.flatMap(Payments, (p) => p.confirm(id)))
export const find = (userId: UserId, id: PaymentId) => as(userId)(Effect.flatMap(Payments, (p) => p.find(id)))

export const checkout = (payment: PaymentView, outcome: string) =>
  Effect.promise(() =>
    fetch(payment.nextAction?.url ?? "", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ outcome })
    }).then((answer) => answer.status)
  )

export const balanceOf = (userId: UserId) =>
  Effect.flatMap(Ledger, (ledger) => Effect.map(ledger.balance(walletOf(userId), "NGN"), (b) => Number(b.balance)))

export const owner = Effect.fnUntraced(function*(statement: string, values: ReadonlyArray<unknown> = []) {
  const { ownerUrl } = yield* PgTest
  const connection = yield* PgConnection.make({ url: ownerUrl })
  return yield* connection.queryValues(statement, values)
}, Effect.scoped)

export const transfersOf = (id: PaymentId) =>
  Effect.map(
    owner(`SELECT count(*)::int FROM wallet.transfers WHERE key = $1`, [`charge:${id}`]),
    (rows) => rows[0]?.[0]
  )
export const inboxSize = Effect.map(owner(`SELECT count(*)::int FROM payments.webhook_inbox`), (rows) => rows[0]?.[0])

export const until = (userId: UserId, id: PaymentId, status: string) =>
  find(userId, id).pipe(
    Effect.repeat({ schedule: Schedule.spaced("20 millis"), until: (payment) => payment.status === status }),
    Effect.timeout("20 seconds")
  )

export const sign = (body: string, seconds = Math.floor(Date.now() / 1_000)) =>
  `t=${seconds},v1=${
    createHmac("sha256", sandboxSecrets.SANDBOX_WEBHOOK_SECRET).update(`${seconds}.${body}`).digest("hex")
  }`

export const deliver = Effect.fnUntraced(function*(
  body: string,
  signature: string,
  { from = "192.0.2.1", provider = "sandbox" } = {}
) {
  const { base } = yield* Hooks
  return yield* Effect.promise(() =>
    fetch(`${base}/api/webhooks/${provider}`, {
      method: "POST",
      body,
      headers: { "content-type": "application/json", "sandbox-signature": signature, "x-forwarded-for": from }
    }).then(async (answer) => ({ status: answer.status, code: Code(await answer.json()).code }))
  ).pipe(redelivered)
})

/** A busy machine may not answer in the time that a webhook has: it says 503 then, and providers send the event again. */
export const redelivered = <A extends { readonly status: number }, E, R>(delivery: Effect.Effect<A, E, R>) =>
  Effect.repeat(delivery, {
    schedule: Schedule.spaced("200 millis"),
    times: 50,
    until: ({ status }) => status !== 503
  })

const Code = Schema.decodeUnknownSync(Schema.Struct({ code: Schema.optionalKey(Schema.String) }))
