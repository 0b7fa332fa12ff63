import { assert, layer, vi } from "@effect/vitest"
import { DateTime, Effect, Option, Schedule } from "effect"
import { OperationId, UserId } from "../../src/domain/Ids.ts"
import { Amount } from "../../src/domain/Money.ts"
import { MoneyRequest } from "../../src/domain/MoneyRequest.ts"
import { walletOf } from "../../src/domain/Wallet.ts"
import { Fakes } from "../../src/layers/fakes/Fakes.ts"
import { Gateways } from "../../src/services/Gateway.ts"
import { Ledger } from "../../src/services/Ledger.ts"
import { newId } from "../../src/services/NewId.ts"
import { Payouts } from "../../src/services/Payouts.ts"
import { Reconciliation } from "../../src/services/Reconciliation.ts"
import { posted, untilPayout } from "../layers/MoneyOut.ts"
import { moneyRequest } from "../layers/moneyRequest.ts"
import { checkout, confirm, owner } from "../layers/PaymentsBench.ts"
import { balance, pay, ProvidersBench } from "../layers/ProvidersBench.ts"

vi.setConfig({ testTimeout: 150_000 })

// At Stripe a payout is a transfer to the recipient's account and a payout from there. A process may die between the two.

const destination = {
  type: "bank",
  country: "US",
  bankCode: "110000000",
  accountNumber: "000123456789",
  accountName: "Ada Obi"
} as const

const control = Effect.fnUntraced(function*(path: string, body: object, method: "PUT" | "POST" = "PUT") {
  const { stripe } = yield* Fakes
  const ask = () => fetch(`${stripe.url}/_fake/${path}`, { method, body: JSON.stringify(body) })
  assert.strictEqual(yield* Effect.promise(() => ask().then(({ status }) => status)), 200)
})
const trouble = (status: number, times: number) => control("trouble", { route: "POST /v1/payouts", status, times })

const until = <E, R>(what: Effect.Effect<boolean, E, R>) =>
  what.pipe(
    Effect.repeat({ schedule: Schedule.spaced("20 millis"), until: (isSo) => isSo }),
    Effect.timeout("20 seconds")
  )
const column = (id: string, name: string) =>
  Effect.map(owner(`SELECT ${name} FROM payments.outgoing WHERE id = $1`, [id]), (rows) => rows[0]?.[0])

/** Calls of one route that are about this payout. */
const callsOf = (id: string, path: string) =>
  Effect.map(Fakes, ({ stripe }) => stripe.calls.filter((call) => call.path === path && call.body.includes(id)).length)

/** Nobody goes on with it: as after a death between the two halves, whoever sent it has the right to still. */
const parked = (id: string) =>
  until(Effect.map(
    owner(
      `UPDATE payments.outgoing SET sending_until = now() + interval '1 hour'
        WHERE id = $1 AND begun_at IS NOT NULL AND sending_until IS NULL RETURNING id`,
      [id]
    ),
    (rows) => rows.length === 1
  ))

/** On a slow machine its command has failed so often by then that the provider is left alone for half a minute. */
const answers = Effect.gen(function*() {
  const { find } = yield* Gateways
  const { listDisputes } = Option.getOrThrow(find("stripe"))
  const page = { since: DateTime.subtract(yield* DateTime.now, { hours: 1 }), cursor: Option.none() }
  yield* listDisputes(page).pipe(Effect.retry(Schedule.spaced("200 millis")), Effect.timeout("45 seconds"))
})

/** The right to send it has run out, and its command is due: nobody waits for the pause between two attempts. */
const goesOn = Effect.fnUntraced(function*(id: string) {
  yield* owner(`UPDATE payments.outgoing SET sending_until = NULL WHERE id = $1`, [id])
  const due = owner(
    `UPDATE queue.payment_commands SET visible_at = now()
      WHERE id LIKE $1 || ':%' AND state = 'pending' AND acquired_at IS NULL AND visible_at > now()`,
    [id]
  )
  const moved = column(id, "provider_reference IS NOT NULL OR status = 'failed'")
  yield* Effect.andThen(due, moved).pipe(
    Effect.repeat({ schedule: Schedule.spaced("250 millis"), until: (is) => is === true }),
    Effect.timeout("30 seconds")
  )
})

/** A payout whose transfer was made, and whose second half the provider has failed for. */
const begun = Effect.gen(function*() {
  const user = yield* newId(UserId)
  const payment = yield* pay(user, "USD", 10_000, "stripe")
  yield* checkout(payment, "succeed")
  yield* confirm(user, payment.id)
  yield* trouble(500, 1_000)
  const request = { amount: Amount.make(3_000n), currency: "USD", destination } as const
  const { id } = yield* Effect.flatMap(Payouts, (payouts) => payouts.create(request)).pipe(
    Effect.provideService(MoneyRequest, moneyRequest(user, yield* newId(OperationId)))
  )
  yield* until(Effect.map(callsOf(id, "/v1/payouts"), (calls) => calls > 0))
  yield* parked(id)
  yield* answers
  return { id, user }
})

const reconciled = Effect.flatMap(Reconciliation, ({ run }) => run(1))
const heldOf = (user: UserId) =>
  Effect.flatMap(Ledger, (ledger) => Effect.map(ledger.balance(walletOf(user), "USD"), ({ held }) => Number(held)))

const paidOnce = Effect.fnUntraced(function*({ id, user }: Effect.Success<typeof begun>) {
  const { stripe } = yield* Fakes
  yield* goesOn(id)
  const reference = String(yield* column(id, "provider_reference"))
  assert.match(reference, /^acct_\w+\/po_\w+$/)
  yield* control("settle", { kind: "payout", id: reference.split("/")[1], outcome: "paid" }, "POST")
  yield* untilPayout(user, id, "paid")
  yield* until(Effect.map(balance(user, "USD"), (now) => now === 7_000))
  assert.strictEqual(yield* posted(`payout:${id}`), 1)
  const answer = yield* Effect.promise(() =>
    fetch(`${stripe.url}/v1/transfers?transfer_group=${id}`, {
      headers: { authorization: "Bearer sk_test_contract" }
    }).then((list) => list.text())
  )
  assert.strictEqual(answer.split(`"transfer_group":"${id}"`).length - 1, 1)
})

layer(ProvidersBench, { timeout: "60 seconds", excludeTestServices: true })("a payout that is half made", (it) => {
  it.effect("goes on, although reconciliation saw its first half alone in the provider's list", () =>
    Effect.gen(function*() {
      const payout = yield* begun
      const report = yield* reconciled
      assert.deepStrictEqual([report.differences, report.unavailable], [[], []])
      assert.isNull(yield* column(payout.id, "provider_reference"))
      yield* trouble(500, 0)
      yield* paidOnce(payout)
    }))

  it.effect("goes on from its first half when the provider has forgotten the key of that", () =>
    Effect.gen(function*() {
      const payout = yield* begun
      yield* owner(`UPDATE payments.outgoing SET begun_at = begun_at - interval '21 hours' WHERE id = $1`, [payout.id])
      yield* control("forget", {}, "POST")
      yield* trouble(500, 0)
      yield* paidOnce(payout)
    }))

  it.effect("gives the money back when its second half is refused", () =>
    Effect.gen(function*() {
      const { id, user } = yield* begun
      yield* trouble(400, 1)
      yield* goesOn(id)
      yield* untilPayout(user, id, "failed")
      yield* until(Effect.map(heldOf(user), (held) => held === 0))
      assert.strictEqual(yield* balance(user, "USD"), 10_000)
      assert.strictEqual(yield* callsOf(id, "/v1/transfers"), yield* callsOf(id, "/v1/payouts"))
      // What the list has of it since is a transfer that was taken back: nothing that goes on.
      assert.deepStrictEqual((yield* reconciled).differences, [])
      assert.strictEqual(yield* posted(`payout:${id}`), 0)
    }))

  it.effect("that the bank returned stays failed when the provider has forgotten that its transfer was taken back", () =>
    Effect.gen(function*() {
      const { id, user } = yield* begun
      yield* trouble(500, 0)
      yield* goesOn(id)
      const reference = String(yield* column(id, "provider_reference"))
      yield* control("settle", { kind: "payout", id: reference.split("/")[1], outcome: "failed" }, "POST")
      yield* untilPayout(user, id, "failed")
      yield* control("forget", {}, "POST")
      const report = yield* reconciled
      assert.deepStrictEqual([report.differences, report.unavailable], [[], []])
    }))
})
