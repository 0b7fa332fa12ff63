import { assert, layer } from "@effect/vitest"
import { Effect, Option } from "effect"
import { CircuitBreaker } from "effect/persistence"
import { Fakes } from "../../src/layers/fakes/Fakes.ts"
import type { ProviderError } from "../../src/services/Gateway.ts"
import { guarded } from "../../src/services/GatewayPolicy.ts"
import { askFor, Benches, everything, paidCharge, payoutTo, refundOf } from "../layers/Gateways.ts"

const providers = ["stripe", "paystack"] as const
const limited = (bench: Benches["Service"]["stripe"]) =>
  Effect.map(guarded(bench.gateway).pipe(Effect.provide(CircuitBreaker.layerStoreMemory())), (gateway) => ({
    ...bench,
    gateway
  }))

/** Switches something on for one effect, through HTTP as anybody would. */
const switched = Effect.fnUntraced(function*(provider: "stripe" | "paystack", switches: object) {
  const { url } = (yield* Fakes)[provider]
  const put = (body: object) =>
    Effect.promise(() =>
      fetch(`${url}/_fake/switches`, { method: "PUT", body: JSON.stringify(body) }).then((r) => r.status)
    )
  assert.strictEqual(yield* put(switches), 200)
  yield* Effect.addFinalizer(() =>
    put({ hang: 0, delay: 0, resetAfterAccepting: 0, serverError: 0, rateLimit: 0, seed: 1 })
  )
})

layer(Benches.layer, { timeout: "60 seconds", excludeTestServices: true })("a provider in trouble", (it) => {
  for (const provider of providers) {
    const bench = Effect.flatMap(Benches, (all) => limited(all[provider]))

    it.effect(`is sent a call once whose connection it cuts, unless somebody who counts repeats it: ${provider}`, () =>
      Effect.gen(function*() {
        const unlimited = (yield* Benches)[provider]
        const asked = yield* askFor(unlimited)
        const { calls } = (yield* Fakes)[provider]
        const before = calls.length
        yield* switched(provider, { resetAfterAccepting: 1 })
        const error = yield* Effect.flip(unlimited.gateway.createCharge(asked))
        assert.strictEqual(error._tag, "ProviderUnavailable")
        assert.strictEqual(calls.length, before + 1)
      }).pipe(Effect.scoped))

    it.effect(`that cuts connections after accepting holds one charge, refund and payout of each: ${provider}`, () =>
      Effect.gen(function*() {
        const all = yield* bench
        const { gateway } = all
        const fake = (yield* Fakes)[provider]
        const { made } = yield* paidCharge(all, 10_000)
        const charge = yield* askFor(all)
        const refund = yield* refundOf(all, made.reference, 1_000)
        const payout = yield* payoutTo(all)
        const before = fake.calls.length
        yield* switched(provider, { resetAfterAccepting: 1 })
        const calls: ReadonlyArray<Effect.Effect<unknown, ProviderError>> = [
          gateway.createCharge(charge),
          gateway.createRefund(refund),
          gateway.createPayout(payout)
        ]
        for (const call of calls) {
          assert.strictEqual((yield* Effect.flip(call))._tag, "ProviderUnavailable")
        }
        yield* switched(provider, { resetAfterAccepting: 0 })
        const unguarded = (yield* Benches)[provider].gateway
        yield* Effect.ignore(unguarded.createCharge(charge))
        yield* unguarded.createRefund(refund)
        yield* unguarded.createPayout(payout)
        const charges = yield* everything(unguarded.listCharges)
        assert.strictEqual(charges.filter(({ paymentId }) => Option.contains(paymentId, charge.paymentId)).length, 1)
        const refunds = yield* everything(unguarded.listRefunds)
        assert.strictEqual(
          refunds.filter(({ operationId }) => Option.contains<string>(operationId, refund.refundId)).length,
          1
        )
        const payouts = yield* everything(unguarded.listPayouts)
        assert.strictEqual(
          payouts.filter(({ operationId }) => Option.contains<string>(operationId, payout.payoutId)).length,
          1
        )
        // One outbound key for all attempts of a charge.
        const attempts = fake.calls.slice(before).filter(({ body }) => body.includes(charge.paymentId))
        const keys = attempts.map(({ body, key }) => key ?? /"reference":"([^"]+)"/.exec(body)?.[1])
        assert.isAtLeast(keys.length, 3)
        assert.deepStrictEqual([...new Set(keys)], [charge.paymentId])
      }))

    for (const [fault, name] of [["serverError", "answers 500"], ["rateLimit", "answers 429"]] as const) {
      it.effect(`that ${name} half the time is asked again, and answers in the end: ${provider}`, () =>
        Effect.gen(function*() {
          const all = yield* bench
          yield* switched(provider, { [fault]: 0.5, seed: 3 })
          const { status } = yield* Effect.retry(all.gateway.createCharge(yield* askFor(all)), { times: 5 })
          assert.strictEqual(status, "requires_action")
        }))

      it.effect(`that always ${name} is unavailable, and never said to have refused: ${provider}`, () =>
        Effect.gen(function*() {
          const all = yield* bench
          yield* switched(provider, { [fault]: 1 })
          assert.strictEqual(
            (yield* Effect.flip(all.gateway.createCharge(yield* askFor(all))))._tag,
            "ProviderUnavailable"
          )
        }))
    }

    it.effect(`has switches that refuse what they do not know: ${provider}`, () =>
      Effect.gen(function*() {
        const { url } = (yield* Fakes)[provider]
        for (const body of ["{\"hangs\":1}", "{\"hang\":2}", "[]", "no"]) {
          const answer = yield* Effect.promise(() => fetch(`${url}/_fake/switches`, { method: "PUT", body }))
          assert.strictEqual(answer.status, 400)
        }
      }))
  }

  it.effect("refuses a parameter that Stripe's reference does not have, and a key that was used for something else", () =>
    Effect.gen(function*() {
      const { url } = (yield* Fakes).stripe
      const post = (body: string, key: string) =>
        Effect.promise(() =>
          fetch(`${url}/v1/accounts`, {
            method: "POST",
            body,
            headers: {
              authorization: "Bearer sk_test_contract",
              "content-type": "application/x-www-form-urlencoded",
              "idempotency-key": key
            }
          }).then(async (answer) => ({
            status: answer.status,
            replayed: answer.headers.get("idempotent-replayed"),
            text: await answer.text()
          }))
        )
      const unknown = yield* post("type=custom&country=US&colour=red", "k0")
      assert.deepStrictEqual(
        JSON.parse(unknown.text),
        {
          error: {
            type: "invalid_request_error",
            code: "parameter_unknown",
            param: "colour",
            message: "Received unknown parameter: colour"
          }
        }
      )
      const first = yield* post("type=custom&country=US", "k1")
      const again = yield* post("type=custom&country=US", "k1")
      assert.deepStrictEqual([again.status, again.text, again.replayed], [200, first.text, "true"])
      const other = yield* post("type=custom&country=GB", "k1")
      assert.strictEqual(other.status, 400)
      assert.include(other.text, "idempotency_error")
    }))
})
