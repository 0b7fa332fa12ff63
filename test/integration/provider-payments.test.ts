import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { UserId } from "../../src/domain/Ids.ts"
import type { PaymentView } from "../../src/domain/Payments.ts"
import { Fakes } from "../../src/layers/fakes/Fakes.ts"
import { newId } from "../../src/services/NewId.ts"
import { checkout, confirm, inboxSize, transfersOf, until } from "../layers/PaymentsBench.ts"
import { balance, Hooked, pay, ProvidersBench, put } from "../layers/ProvidersBench.ts"

const paidOnce = Effect.fnUntraced(function*(user: UserId, payment: PaymentView) {
  yield* until(user, payment.id, "succeeded")
  assert.strictEqual(yield* balance(user, payment.currency), Number(payment.amount))
  assert.strictEqual(yield* transfersOf(payment.id), 1)
})

layer(ProvidersBench, { timeout: "60 seconds", excludeTestServices: true })("payments through real providers", (it) => {
  it.effect("go to the first provider that takes the currency, or to the one that is named", () =>
    Effect.gen(function*() {
      const user = yield* newId(UserId)
      const chosen = [
        yield* pay(user, "NGN", 10_000),
        yield* pay(user, "EUR", 500),
        yield* pay(user, "NGN", 10_000, "stripe")
      ]
      assert.deepStrictEqual(chosen.map(({ provider }) => provider), ["paystack", "stripe", "stripe"])
    }))

  it.effect("are refused before any row when the provider does not take the currency or the amount", () =>
    Effect.gen(function*() {
      const user = yield* newId(UserId)
      const refused = [
        pay(user, "EUR", 500, "paystack"),
        pay(user, "USD", 49, "stripe"),
        pay(user, "USD", 100_000_000, "stripe"),
        pay(user, "KWD", 1_001, "stripe"),
        pay(user, "NGN", 4_999, "paystack"),
        pay(user, "NGN", 10_000, "sandbox")
      ]
      const tags: Array<string> = []
      for (const attempt of refused) tags.push((yield* Effect.flip(attempt))._tag)
      assert.deepStrictEqual(tags, [
        "UnsupportedCurrency",
        ...Array.from({ length: 4 }, () => "AmountNotAccepted"),
        "ProviderNotConfigured"
      ])
    }))

  for (const [provider, currency] of [["stripe", "USD"], ["paystack", "NGN"]] as const) {
    it.effect(`are credited once by the provider's own events, doubled, late and out of order: ${provider}`, () =>
      Effect.gen(function*() {
        const { url } = (yield* Fakes)[provider]
        yield* put(`${url}/_fake/switches`, {
          webhookDuplicate: 1,
          webhookReorder: 0.5,
          webhookDelay: 0.5,
          delayMillis: 50
        })
        const user = yield* newId(UserId)
        const payment = yield* pay(user, currency, 10_000, provider)
        assert.strictEqual(yield* checkout(payment, "succeed"), 200)
        yield* paidOnce(user, payment)
        const before = yield* inboxSize
        yield* Effect.promise(() => fetch(`${url}/_fake/redeliver`, { method: "POST" }))
        yield* confirm(user, payment.id)
        assert.isAtMost(Number(yield* inboxSize) - Number(before), 2)
        yield* paidOnce(user, payment)
      }))

    it.effect(`are credited by confirm alone when every event is lost: ${provider}`, () =>
      Effect.gen(function*() {
        const { url } = (yield* Fakes)[provider]
        yield* put(`${url}/_fake/switches`, { webhookLose: 1 })
        const user = yield* newId(UserId)
        const payment = yield* pay(user, currency, 10_000, provider)
        yield* checkout(payment, "succeed")
        yield* confirm(user, payment.id)
        yield* paidOnce(user, payment)
        yield* put(`${url}/_fake/switches`, { webhookLose: 0 })
      }))
  }

  it.effect("take no events of a provider that is not configured, and none that is forged", () =>
    Effect.gen(function*() {
      const { base } = yield* Hooked
      const statusOf = (provider: string) =>
        Effect.promise(() =>
          fetch(`${base}/api/webhooks/${provider}`, {
            method: "POST",
            body: "{}",
            headers: { "content-type": "application/json", "stripe-signature": "t=1,v1=00" }
          }).then((answer) => answer.status)
        )
      assert.deepStrictEqual(
        [yield* statusOf("sandbox"), yield* statusOf("stripe"), yield* statusOf("paystack")],
        [404, 400, 400]
      )
    }))
})
