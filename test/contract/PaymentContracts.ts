import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { createHmac, randomUUID } from "node:crypto"
import { PaymentId } from "../../src/domain/Ids.ts"
import { Amount } from "../../src/domain/Money.ts"
import { ApiTest, as, eventually, keyed, pay, register, send } from "../layers/ApiTest.ts"
import { sandboxSecrets } from "../layers/sandbox.ts"
import { Cast, type Contracts, problemMembers } from "./RouteContract.ts"
import { wrongMoney, wrongPage } from "./WalletContracts.ts"

const amount = Amount.make(2_500n)
const currency = "NGN" as const

const payment = [
  "id",
  "status",
  "amount",
  "currency",
  "amountRefunded",
  "disputed",
  "provider",
  "providerReference",
  "nextAction?",
  "createdAt"
]

const charged = Effect.gen(function*() {
  const { client } = yield* ApiTest
  const { alice } = yield* Cast
  return yield* client.payments.charge({ payload: { amount, currency } }).pipe(keyed, as(alice))
})

const sign = (body: string) => {
  const seconds = Math.floor(Date.now() / 1_000)
  const tag = createHmac("sha256", sandboxSecrets.SANDBOX_WEBHOOK_SECRET).update(`${seconds}.${body}`).digest("hex")
  return { "sandbox-signature": `t=${seconds},v1=${tag}` }
}
const eventOf = (reference: string) =>
  JSON.stringify({
    id: `evt_${randomUUID()}`,
    type: "charge.succeeded",
    livemode: false,
    data: { charge: { id: "ch_1", reference } }
  })
const received = (provider: "stripe" | "paystack") => ({
  status: 404,
  signedIn: false,
  keyed: false,
  shape: { "": problemMembers },
  attempt: Effect.sync(() => ({ path: `/api/webhooks/${provider}`, body: {} })),
  typed: Effect.gen(function*() {
    const { client } = yield* ApiTest
    assert.strictEqual(
      (yield* Effect.flip(client.webhooks[provider]({ payload: new Uint8Array([123, 125]) })))._tag,
      "NotFound"
    )
  })
})

export const paymentContracts: Contracts = {
  "POST /api/payment/charge": {
    status: 201,
    signedIn: true,
    keyed: true,
    shape: { "": payment, nextAction: ["type", "url"] },
    attempt: Effect.map(Cast, ({ alice }) => ({
      path: "/api/payment/charge",
      token: alice.token,
      key: randomUUID(),
      body: { amount: 2_500, currency, provider: "sandbox", returnUrl: "https://app.example.com/thanks" }
    })),
    typed: Effect.gen(function*() {
      const { client } = yield* ApiTest
      const member = yield* register()
      const made = yield* client.payments.charge({ payload: { amount, currency } }).pipe(keyed, as(member))
      assert.deepInclude(made, { status: "requires_action", provider: "sandbox", amount, amountRefunded: 0n })
      assert.strictEqual(yield* pay(made.nextAction?.url ?? ""), 200)
      const { id } = made
      yield* eventually(
        client.payments.find({ params: { id } }).pipe(as(member)),
        ({ status }) => status === "succeeded"
      )
      const { wallets } = yield* client.wallet.list().pipe(as(member))
      assert.deepStrictEqual(wallets.map(({ balance, currency }) => [currency, balance]), [["NGN", 2_500n]])
    }),
    wrong: [
      ...wrongMoney,
      [{ provider: "visa" }, "/body/provider"],
      [{ returnUrl: "" }, "/body/returnUrl"],
      [{ userId: randomUUID() }, "/body/userId"]
    ],
    counted: "SELECT count(*) FROM payments.payments",
    other: { amount: 2_501 }
  },
  "GET /api/payment": {
    status: 200,
    signedIn: true,
    keyed: false,
    shape: { "": ["items", "nextCursor"], "items.0": payment },
    attempt: Effect.gen(function*() {
      yield* charged
      return { path: "/api/payment", token: (yield* Cast).alice.token }
    }),
    typed: Effect.gen(function*() {
      const { client } = yield* ApiTest
      const made = yield* charged
      const { items } = yield* client.payments.list({ query: { limit: 1 } }).pipe(
        Effect.flatMap(Effect.succeed),
        as((yield* Cast).alice)
      )
      assert.deepStrictEqual(items, [made])
    }),
    wrongQuery: wrongPage
  },
  "GET /api/payment/:id": {
    status: 200,
    signedIn: true,
    keyed: false,
    shape: { "": payment },
    owned: true,
    attempt: Effect.gen(function*() {
      return { path: `/api/payment/${(yield* charged).id}`, token: (yield* Cast).alice.token }
    }),
    typed: Effect.gen(function*() {
      const { client } = yield* ApiTest
      const { alice } = yield* Cast
      const made = yield* charged
      assert.deepStrictEqual(yield* client.payments.find({ params: { id: made.id } }).pipe(as(alice)), made)
      const absent = client.payments.find({ params: { id: PaymentId.make(randomUUID()) } }).pipe(as(alice))
      assert.strictEqual((yield* Effect.flip(absent))._tag, "NotFound")
    })
  },
  "POST /api/payment/:id/confirm": {
    status: 200,
    signedIn: true,
    keyed: false,
    shape: { "": payment },
    owned: true,
    attempt: Effect.gen(function*() {
      return { path: `/api/payment/${(yield* charged).id}/confirm`, token: (yield* Cast).alice.token }
    }),
    typed: Effect.gen(function*() {
      const { client } = yield* ApiTest
      const made = yield* charged
      yield* pay(made.nextAction?.url ?? "", "fail")
      const { status } = yield* client.payments.confirm({ params: { id: made.id } }).pipe(as((yield* Cast).alice))
      assert.strictEqual(status, "failed")
    })
  },
  "POST /api/webhooks/sandbox": {
    status: 200,
    signedIn: false,
    keyed: false,
    shape: { "": ["received"] },
    attempt: Effect.map(charged, ({ id }) => {
      const body = eventOf(id)
      return { path: "/api/webhooks/sandbox", body, headers: sign(body) }
    }),
    typed: Effect.gen(function*() {
      const { client } = yield* ApiTest
      const body = eventOf(randomUUID())
      const forged = yield* Effect.flip(client.webhooks.sandbox({ payload: new TextEncoder().encode(body) }))
      assert.strictEqual(forged._tag, "WebhookForged")
      const sent = { method: "POST", path: "/api/webhooks/sandbox", body, headers: sign(body) }
      const twice = yield* Effect.all([send(sent), send(sent)])
      assert.deepStrictEqual(twice.map(({ json }) => json), [{ received: true }, { received: true }])
    })
  },
  "POST /api/webhooks/stripe": received("stripe"),
  "POST /api/webhooks/paystack": received("paystack")
}
