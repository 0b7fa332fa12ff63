import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { UserId } from "../../src/domain/Ids.ts"
import { Amount } from "../../src/domain/Money.ts"
import { between, clearingOf, walletOf } from "../../src/domain/Wallet.ts"
import { Fakes } from "../../src/layers/fakes/Fakes.ts"
import { Ledger } from "../../src/services/Ledger.ts"
import { newId } from "../../src/services/NewId.ts"
import { decide, look, run, sent, silence, standing, transferBecomes, wallet } from "../layers/Flagging.ts"
import { posted } from "../layers/MoneyOut.ts"
import { checkout, confirm, owner, transfersOf } from "../layers/PaymentsBench.ts"
import { pay, ProvidersBench } from "../layers/ProvidersBench.ts"

/** A payout that failed here, whose hold was let go of, that was paid all the same, and that somebody settled. */
const settledLate = Effect.gen(function*() {
  const payout = yield* sent
  yield* transferBecomes(payout.reference, { status: "failed" })
  yield* run
  yield* transferBecomes(payout.reference, { status: "success" })
  yield* run
  yield* decide("payout", payout.id, "settle")
  assert.deepStrictEqual(yield* standing(payout.id), ["done", null, "settle", true])
  assert.deepStrictEqual(yield* wallet(payout.user), [9_000, 0])
  return payout
})

layer(ProvidersBench, { timeout: "120 seconds", excludeTestServices: true })("what becomes of a decision", (it) => {
  it.effect("is followed back, once, when the provider says later that a payout debited late has failed", () =>
    Effect.gen(function*() {
      const { id, reference, user } = yield* settledLate
      yield* transferBecomes(reference, { status: "reversed" })
      for (let again = 0; again < 2; again++) {
        const { differences } = yield* run
        assert.deepStrictEqual(differences.filter((one) => one.reference === reference), [])
        assert.deepStrictEqual(yield* standing(id), ["failed", null, "settle", true])
        assert.deepStrictEqual(yield* wallet(user), [10_000, 0])
        assert.strictEqual(yield* posted(`payout:${id}`), 2)
      }
    }))

  it.effect("debits once, also where the process died before it wrote down that the ledger had followed", () =>
    Effect.gen(function*() {
      const { id, user } = yield* settledLate
      yield* owner(`UPDATE payments.outgoing SET settled = false WHERE id = $1`, [id])
      yield* decide("payout", id, "settle")
      assert.deepStrictEqual(yield* standing(id), ["done", null, "settle", true])
      assert.deepStrictEqual(yield* wallet(user), [9_000, 0])
      assert.strictEqual(yield* posted(`payout:${id}`), 1)
    }))

  it.effect("ends a hold that was still open when a payout that had ended here is left as it is, whoever is away", () =>
    Effect.gen(function*() {
      const { id, reference, user } = yield* sent
      // As a process leaves it that dies before the hold is let go of, once the provider is heard to have paid.
      yield* owner(`UPDATE payments.outgoing SET status = 'failed', flag = 'done_after_end' WHERE id = $1`, [id])
      const { transfers } = (yield* Fakes).paystack.fake.book
      transfers.delete(reference)
      assert.strictEqual((yield* Effect.flip(decide("payout", id, "settle")))._tag, "ProviderUnavailable")
      yield* decide("payout", id, "release")
      assert.deepStrictEqual(yield* standing(id), ["failed", "done_after_end", "release", true])
      assert.deepStrictEqual(yield* wallet(user), [10_000, 0])
      assert.strictEqual(yield* posted(`payout:${id}`), 0)
    }))

  it.effect("leads out also where a payout was paid, its hold was lost, the wallet is empty and it failed later", () =>
    Effect.gen(function*() {
      const { id, reference, user } = yield* sent
      const ledger = yield* Ledger
      yield* ledger.void(`payout:${id}`)
      const [from, to] = [walletOf(user), clearingOf("elsewhere")]
      const spent = { key: `spent:${id}`, kind: "charge", amount: Amount.make(10_000n), currency: "NGN" } as const
      yield* ledger.post(between({ ...spent, from, to }))
      yield* transferBecomes(reference, { status: "success" })
      yield* run
      assert.deepStrictEqual(yield* standing(id), ["done", "hold_lost", null, false])
      yield* transferBecomes(reference, { status: "reversed" })
      yield* decide("payout", id, "settle")
      assert.deepStrictEqual(yield* standing(id), ["failed", "hold_lost", null, false])
      yield* decide("payout", id, "release")
      assert.deepStrictEqual(yield* standing(id), ["failed", "hold_lost", "release", true])
      assert.deepStrictEqual(yield* wallet(user), [0, 0])
      assert.strictEqual(yield* posted(`payout:${id}`), 0)
    }))

  it.effect("is answered again as it was made, of a charge that failed at its provider, which may still be paid", () =>
    Effect.gen(function*() {
      yield* silence
      const user = yield* newId(UserId)
      const payment = yield* pay(user, "NGN", 10_000, "paystack")
      const { id } = payment
      yield* owner(`UPDATE payments.payments SET amount = 9000 WHERE id = $1`, [id])
      assert.strictEqual(yield* checkout(payment, "succeed"), 200)
      yield* confirm(user, id)
      assert.strictEqual((yield* look("charge", id)).flag, "amount_mismatch")
      const transaction = (yield* Fakes).paystack.fake.book.transactions.get(id)
      if (transaction === undefined) return assert.fail("Paystack has no such transaction")
      transaction.status = "failed"
      const settled = { status: "failed", flag: null, decision: "settle" } as const
      assert.deepInclude(yield* decide("charge", id, "settle"), settled)
      assert.deepInclude(yield* decide("charge", id, "settle"), settled)
      assert.strictEqual((yield* Effect.flip(decide("charge", id, "release")))._tag, "FlagNotDecidable")
      assert.deepStrictEqual([yield* wallet(user), yield* transfersOf(id)], [[0, 0], 0])

      transaction.status = "success"
      yield* confirm(user, id)
      assert.deepInclude(yield* look("charge", id), { status: "failed", flag: "amount_mismatch", decision: null })
      assert.deepInclude(yield* decide("charge", id, "settle"), { status: "succeeded", flag: null, decision: "settle" })
      assert.deepStrictEqual([yield* wallet(user), yield* transfersOf(id)], [[10_000, 0], 1])
    }))
})
