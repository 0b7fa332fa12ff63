import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { randomUUID } from "node:crypto"
import { PayoutId } from "../../src/domain/Ids.ts"
import { Amount } from "../../src/domain/Money.ts"
import { ApiTest, as, eventually, give, keyed, pay, register } from "../layers/ApiTest.ts"
import { Cast, type Contracts } from "./RouteContract.ts"
import { wrongMoney, wrongPage } from "./WalletContracts.ts"

const currency = "NGN" as const
const amount = Amount.make(2_500n)
const destination = {
  type: "bank",
  country: "NG",
  bankCode: "058",
  accountNumber: "0123456789",
  accountName: "Ada Example"
} as const
const reason = "looked at by hand"

const refund = ["id", "paymentId", "amount", "currency", "status", "reason", "createdAt"]
const payout = ["id", "amount", "currency", "status", "destination", "failureReason?", "createdAt"]
const payoutShape = { "": payout, destination: ["type", "last4"] }
const payoutPage = { "": ["items", "nextCursor"], "items.0": payout, "items.0.destination": ["type", "last4"] }

/** A payment of Alice's that succeeded. */
const paid = Effect.gen(function*() {
  const { client } = yield* ApiTest
  const { alice } = yield* Cast
  const made = yield* client.payments.charge({ payload: { amount, currency } }).pipe(keyed, as(alice))
  yield* pay(made.nextAction?.url ?? "")
  return yield* eventually(
    client.payments.find({ params: { id: made.id } }).pipe(as(alice)),
    ({ status }) => status === "succeeded"
  )
})

const payTo = (units: bigint) =>
  Effect.gen(function*() {
    const { client } = yield* ApiTest
    const { alice } = yield* Cast
    const payload = { amount: Amount.make(units), currency, destination }
    return yield* client.payouts.create({ payload }).pipe(keyed, as(alice))
  })
const small = payTo(100n)

/** A payout that waits for a person, of somebody who has just enough. */
const large = Effect.gen(function*() {
  const { client } = yield* ApiTest
  const member = yield* register()
  yield* give(member.id, 10_000_001)
  const payload = { amount: Amount.make(10_000_001n), currency, destination }
  return { member, made: yield* client.payouts.create({ payload }).pipe(keyed, as(member)) }
})

const decision = (how: "approve" | "reject", status: string): Contracts[string] => ({
  status: 200,
  signedIn: true,
  keyed: false,
  role: "admin",
  shape: payoutShape,
  attempt: Effect.gen(function*() {
    const { admin } = yield* Cast
    return { path: `/api/admin/payouts/${(yield* large).made.id}/${how}`, token: admin.token, body: { reason } }
  }),
  typed: Effect.gen(function*() {
    const { client } = yield* ApiTest
    const { admin } = yield* Cast
    const { made, member } = yield* large
    const decide = client.adminPayouts[how]({ params: { id: made.id }, payload: { reason } }).pipe(as(admin))
    yield* decide
    assert.strictEqual((yield* Effect.flip(decide))._tag, "PayoutNotPending")
    yield* eventually(client.payouts.find({ params: { id: made.id } }).pipe(as(member)), (one) => one.status === status)
  }),
  wrong: [[{ reason: "" }, "/body/reason"]]
})

export const moneyOutContracts: Contracts = {
  "POST /api/payment/:id/refunds": {
    status: 201,
    signedIn: true,
    keyed: true,
    owned: true,
    shape: { "": refund },
    attempt: Effect.gen(function*() {
      const { alice } = yield* Cast
      const { id } = yield* paid
      return {
        path: `/api/payment/${id}/refunds`,
        token: alice.token,
        key: randomUUID(),
        body: { amount: 500, reason }
      }
    }),
    typed: Effect.gen(function*() {
      const { client } = yield* ApiTest
      const { alice } = yield* Cast
      const { id } = yield* paid
      const give = (payload: { readonly amount?: Amount }) =>
        client.payments.refund({ params: { id }, payload }).pipe(keyed, as(alice))
      const made = yield* give({ amount: Amount.make(500n) })
      assert.deepInclude(made, { paymentId: id, amount: Amount.make(500n), status: "succeeded", reason: null })
      const over = yield* Effect.flip(give({ amount }))
      assert.deepInclude(over, { _tag: "RefundExceedsPayment", refundable: 2_000n })
      assert.strictEqual((yield* give({})).amount, 2_000n)
    }),
    wrong: [
      ...wrongMoney.filter(([part]) => "amount" in part),
      [{ reason: "" }, "/body/reason"],
      [{ currency: "NGN" }, "/body/currency"]
    ],
    counted: "SELECT count(*) FROM payments.refunds",
    other: { amount: 501 }
  },
  "POST /api/payment/payouts": {
    status: 201,
    signedIn: true,
    keyed: true,
    shape: payoutShape,
    // Somebody else each time: thirty a minute are allowed.
    attempt: Effect.gen(function*() {
      const { id, token } = yield* register()
      yield* give(id, 1_000)
      return { path: "/api/payment/payouts", token, key: randomUUID(), body: { amount: 100, currency, destination } }
    }),
    limited: true,
    typed: Effect.gen(function*() {
      const made = yield* small
      assert.deepInclude(made, { amount: Amount.make(100n), destination: { type: "bank", last4: "6789" } })
      assert.strictEqual((yield* Effect.flip(payTo(100_000_000n)))._tag, "PayoutLimitReached")
    }),
    wrong: [
      ...wrongMoney,
      [{ destination: { ...destination, country: "Nigeria" } }, "/body/destination/country"],
      [{ userId: randomUUID() }, "/body/userId"]
    ],
    counted: "SELECT count(*) FROM payments.payouts",
    other: { amount: 101 }
  },
  "GET /api/payment/payouts": {
    status: 200,
    signedIn: true,
    keyed: false,
    shape: payoutPage,
    attempt: Effect.gen(function*() {
      yield* small
      return { path: "/api/payment/payouts", token: (yield* Cast).alice.token }
    }),
    typed: Effect.gen(function*() {
      const { client } = yield* ApiTest
      const made = yield* small
      const { items } = yield* client.payouts.list({ query: { limit: 1 } }).pipe(as((yield* Cast).alice))
      assert.deepStrictEqual(items.map(({ id }) => id), [made.id])
    }),
    wrongQuery: wrongPage
  },
  "GET /api/payment/payouts/:id": {
    status: 200,
    signedIn: true,
    keyed: false,
    owned: true,
    shape: payoutShape,
    attempt: Effect.gen(function*() {
      const { made, member } = yield* large
      return { path: `/api/payment/payouts/${made.id}`, token: member.token }
    }),
    typed: Effect.gen(function*() {
      const { client } = yield* ApiTest
      const { alice, bob } = yield* Cast
      const { id } = yield* small
      assert.strictEqual((yield* client.payouts.find({ params: { id } }).pipe(as(alice))).id, id)
      assert.strictEqual((yield* Effect.flip(client.payouts.find({ params: { id } }).pipe(as(bob))))._tag, "NotFound")
    })
  },
  "POST /api/payment/payouts/:id/cancel": {
    status: 200,
    signedIn: true,
    keyed: false,
    owned: true,
    shape: payoutShape,
    attempt: Effect.gen(function*() {
      const { made, member } = yield* large
      return { path: `/api/payment/payouts/${made.id}/cancel`, token: member.token }
    }),
    typed: Effect.gen(function*() {
      const { client } = yield* ApiTest
      const { made, member } = yield* large
      const cancel = client.payouts.cancel({ params: { id: made.id } }).pipe(as(member))
      assert.strictEqual((yield* cancel).status, "canceled")
      assert.strictEqual((yield* Effect.flip(cancel))._tag, "PayoutNotPending")
      yield* eventually(client.wallet.list().pipe(as(member)), ({ wallets }) => wallets[0]?.held === 0n)
    })
  },
  "GET /api/admin/payouts": {
    status: 200,
    signedIn: true,
    keyed: false,
    role: "admin",
    shape: payoutPage,
    attempt: Effect.gen(function*() {
      yield* large
      return { path: "/api/admin/payouts", token: (yield* Cast).admin.token }
    }),
    typed: Effect.gen(function*() {
      const { client } = yield* ApiTest
      const { admin } = yield* Cast
      const { made } = yield* large
      const { items } = yield* client.adminPayouts.waiting({ query: { limit: 100 } }).pipe(as(admin))
      assert.isTrue(items.some(({ id }) => id === made.id))
      const absent = client.adminPayouts.approve({ params: { id: PayoutId.make(randomUUID()) }, payload: { reason } })
      assert.strictEqual((yield* Effect.flip(absent.pipe(as(admin))))._tag, "NotFound")
    }),
    wrongQuery: wrongPage
  },
  "POST /api/admin/payouts/:id/approve": decision("approve", "paid"),
  "POST /api/admin/payouts/:id/reject": decision("reject", "canceled")
}
