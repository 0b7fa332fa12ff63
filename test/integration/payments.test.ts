import { PgConnection } from "@effect/sql-pg"
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { OperationId, PaymentId, UserId } from "../../src/domain/Ids.ts"
import { Amount } from "../../src/domain/Money.ts"
import { MoneyRequest } from "../../src/domain/MoneyRequest.ts"
import { clearingOf } from "../../src/domain/Wallet.ts"
import { Ledger } from "../../src/services/Ledger.ts"
import { newId } from "../../src/services/NewId.ts"
import { Payments } from "../../src/services/Payments.ts"
import { moneyRequest } from "../layers/moneyRequest.ts"
import {
  as,
  balanceOf,
  charge,
  checkout,
  confirm,
  find,
  owner,
  PaymentsBench,
  transfersOf,
  until
} from "../layers/PaymentsBench.ts"
import { PgTest } from "../layers/PgTest.ts"

layer(PaymentsBench, { timeout: "60 seconds", excludeTestServices: true })("payments", (it) => {
  it.effect("credits a charge once when its checkout is paid and the provider's own webhook arrives", () =>
    Effect.gen(function*() {
      const user = yield* newId(UserId)
      const payment = yield* charge(user)
      assert.deepStrictEqual([payment.status, payment.nextAction?.type], ["requires_action", "redirect"])
      assert.strictEqual(yield* checkout(payment, "succeed"), 200)
      const paid = yield* until(user, payment.id, "succeeded")
      assert.isUndefined(paid.nextAction)
      assert.strictEqual(yield* balanceOf(user), 2_500)
      assert.strictEqual(yield* transfersOf(payment.id), 1)
    }))

  it.effect("flags a charge whose amount is not what was asked, and never credits it", () =>
    Effect.gen(function*() {
      const user = yield* newId(UserId)
      const payment = yield* charge(user)
      yield* owner(`UPDATE payments.payments SET amount = amount + 1 WHERE id = $1`, [payment.id])
      yield* checkout(payment, "succeed")
      const answers = yield* Effect.all([confirm(user, payment.id), confirm(user, payment.id)], { concurrency: 2 })
      assert.deepStrictEqual(answers.map(({ status }) => status), ["requires_action", "requires_action"])
      const rows = yield* owner(`SELECT flag, status, transfer_id FROM payments.payments WHERE id = $1`, [payment.id])
      assert.deepStrictEqual([...rows[0] ?? []], ["amount_mismatch", "requires_action", null])
      assert.strictEqual(yield* transfersOf(payment.id), 0)
      assert.strictEqual(yield* balanceOf(user), 0)
    }))

  it.effect("ends failed or canceled as the payer decides, without a posting", () =>
    Effect.gen(function*() {
      const user = yield* newId(UserId)
      const declined = yield* charge(user)
      const abandoned = yield* charge(user)
      yield* checkout(declined, "fail")
      yield* checkout(abandoned, "abandon")
      yield* until(user, declined.id, "failed")
      yield* until(user, abandoned.id, "canceled")
      assert.strictEqual(yield* balanceOf(user), 0)
    }))

  it.effect("finds the first attempt's payment and charge when a charge is repeated", () =>
    Effect.gen(function*() {
      const user = yield* newId(UserId)
      const operation = yield* newId(OperationId)
      const attempts = yield* Effect.all(Array.from({ length: 5 }, () => charge(user, 900, operation)), {
        concurrency: "unbounded"
      })
      assert.strictEqual(new Set(attempts.map(({ id, providerReference }) => `${id} ${providerReference}`)).size, 1)
      // As after a crash between the provider's answer and ours being written down.
      yield* owner(
        `UPDATE payments.payments SET provider_reference = NULL, next_action_url = NULL, status = 'processing'
          WHERE id = $1`,
        [operation]
      )
      const again = yield* charge(user, 900, operation)
      assert.deepStrictEqual(again, attempts[0])
    }))

  it.effect("brings an intent to the provider by its own command when the request died before it could", () =>
    Effect.gen(function*() {
      const user = yield* newId(UserId)
      const payment = yield* charge(user)
      yield* owner(
        `UPDATE payments.payments SET provider_reference = NULL, next_action_url = NULL, status = 'processing'
          WHERE id = $1`,
        [payment.id]
      )
      // The command waits half a minute, so as not to meet a request that is still at work.
      const due = yield* owner(
        `UPDATE queue.payment_commands SET visible_at = now() WHERE id = $1 AND visible_at > created_at + interval '20 s'
         RETURNING id`,
        [`${payment.id}:created`]
      )
      assert.strictEqual(due.length, 1)
      assert.deepStrictEqual(yield* until(user, payment.id, "requires_action"), payment)
    }))

  it.effect("credits after a crash between the posting and the payment's row", () =>
    Effect.gen(function*() {
      const user = yield* newId(UserId)
      const payment = yield* charge(user, 450)
      yield* checkout(payment, "succeed")
      yield* until(user, payment.id, "succeeded")
      yield* owner(
        `UPDATE payments.payments SET status = 'requires_action', transfer_id = NULL WHERE id = $1`,
        [payment.id]
      )
      assert.strictEqual((yield* confirm(user, payment.id)).status, "succeeded")
      assert.strictEqual(yield* balanceOf(user), 450)
    }))

  it.effect("refuses currencies, return URLs and providers that the deployment does not take, before any row", () =>
    Effect.gen(function*() {
      const payments = yield* Payments
      const user = yield* newId(UserId)
      const refused = Effect.fnUntraced(function*(more: object) {
        const request = { amount: Amount.make(100n), currency: "NGN" as const, ...more }
        const error = yield* Effect.flip(payments.charge(request)).pipe(
          Effect.provideService(MoneyRequest, moneyRequest(user, yield* newId(OperationId)))
        )
        return error._tag
      })
      assert.deepStrictEqual([
        yield* refused({ currency: "EUR" }),
        yield* refused({ returnUrl: "https://evil.example/" }),
        yield* refused({ provider: "stripe" })
      ], ["UnsupportedCurrency", "ReturnUrlNotAllowed", "ProviderNotConfigured"])
      const page = yield* as(user)(payments.list({ cursor: undefined, limit: 20 }))
      assert.deepStrictEqual(page, { items: [], nextCursor: null })
    }))

  it.effect("shows a payment to its owner alone, and lists them newest first in pages", () =>
    Effect.gen(function*() {
      const payments = yield* Payments
      const user = yield* newId(UserId)
      const stranger = yield* newId(UserId)
      const ids: Array<string> = []
      for (const amount of [1, 2, 3]) ids.unshift((yield* charge(user, amount)).id)
      const [one] = ids
      const strange = yield* Effect.flip(find(stranger, PaymentId.make(one ?? "")))
      const absent = yield* Effect.flip(find(stranger, yield* newId(PaymentId)))
      assert.deepStrictEqual([strange._tag, strange.detail], [absent._tag, absent.detail])
      assert.strictEqual((yield* Effect.flip(confirm(stranger, PaymentId.make(one ?? ""))))._tag, "NotFound")
      const first = yield* as(user)(payments.list({ cursor: undefined, limit: 2 }))
      const rest = yield* as(user)(payments.list({ cursor: first.nextCursor ?? "", limit: 2 }))
      assert.deepStrictEqual([...first.items, ...rest.items].map(({ id }) => String(id)), ids)
      assert.strictEqual(rest.nextCursor, null)
      assert.strictEqual(
        (yield* Effect.flip(as(user)(payments.list({ cursor: "!", limit: 2 }))))._tag,
        "InvalidRequest"
      )
    }))

  it.effect("keeps what was asked out of the server's reach", () =>
    Effect.gen(function*() {
      const pg = yield* PgTest
      const refused = Effect.fnUntraced(function*(statement: string) {
        const connection = yield* PgConnection.make({ url: pg.urlFor("payments") })
        return (yield* Effect.flip(connection.query(statement, []))).message
      }, Effect.scoped)
      for (
        const statement of [
          "UPDATE payments.payments SET amount = 1",
          "UPDATE payments.payments SET user_id = gen_random_uuid()",
          "DELETE FROM payments.payments",
          "DELETE FROM payments.webhook_inbox",
          "UPDATE payments.webhook_inbox SET type = 'x'",
          "SELECT * FROM wallet.accounts"
        ]
      ) assert.isString(yield* refused(statement))
    }))

  it.effect("leaves the books balanced: what came in stands against the provider's clearing account", () =>
    Effect.gen(function*() {
      const ledger = yield* Ledger
      const { balance } = yield* ledger.balance(clearingOf("sandbox"), "NGN")
      const rows = yield* owner(
        `SELECT coalesce(sum(amount), 0)::text FROM payments.payments WHERE status = 'succeeded'`
      )
      assert.strictEqual(String(-balance), rows[0]?.[0])
    }))
})
