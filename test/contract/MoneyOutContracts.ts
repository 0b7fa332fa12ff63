import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { randomUUID } from "node:crypto"
import { PayoutId } from "../../src/domain/Ids.ts"
import { Amount } from "../../src/domain/Money.ts"
import { ApiTest, as, eventually, give, keyed, pay, register } from "../layers/ApiTest.ts"
import { Cast, type Contracts } from "./RouteContract.ts"
import { wrongMoney, wrongPage } from "./WalletContracts.ts"

const currency = "NGN" as const
const reason = "a ticket of the support desk"
const destination = {
  type: "bank",
  country: "NG",
  bankCode: "058",
  accountNumber: "0001231234",
  accountName: "Ada Obi"
} as const
/** The sandbox lets it wait. */
const waiting = { ...destination, accountNumber: "0001230002" }

const payout = ["id", "amount", "currency", "status", "destination", "failureReason?", "createdAt"]
const adminPayout = [...payout, "userId", "provider", "providerReference", "needsAction", "flag"]

/** A member with money: the limits by the day and by the minute are each member's own. */
const rich = Effect.tap(register(), ({ id }) => give(id, 100_000_000))

const paidPayment = Effect.gen(function*() {
  const { client } = yield* ApiTest
  const { alice } = yield* Cast
  const made = yield* client.payments.charge({ payload: { amount: Amount.make(2_500n), currency } }).pipe(
    keyed,
    as(alice)
  )
  yield* pay(made.nextAction?.url ?? "")
  return yield* client.payments.confirm({ params: { id: made.id } }).pipe(as(alice))
})

const made = Effect.fnUntraced(function*(amount: bigint, to: typeof destination | typeof waiting = waiting) {
  const { client } = yield* ApiTest
  const owner = yield* rich
  const payload = { amount: Amount.make(amount), currency, destination: to }
  return { owner, payout: yield* client.payouts.create({ payload }).pipe(keyed, as(owner)) }
})
const waitsForApproval = made(5_000_001n)

export const moneyOutContracts: Contracts = {
  "POST /api/payment/:id/refunds": {
    status: 201,
    signedIn: true,
    keyed: true,
    owned: true,
    shape: { "": ["id", "paymentId", "amount", "currency", "status", "reason", "failureReason?", "createdAt"] },
    attempt: Effect.map(Effect.all([Cast, paidPayment]), ([{ alice }, { id }]) => ({
      path: `/api/payment/${id}/refunds`,
      token: alice.token,
      key: randomUUID(),
      body: { amount: 100, reason }
    })),
    typed: Effect.gen(function*() {
      const { client } = yield* ApiTest
      const { alice } = yield* Cast
      const { id } = yield* paidPayment
      const refund = (payload: { readonly amount?: Amount }) =>
        client.payments.refund({ params: { id }, payload }).pipe(keyed, as(alice))
      const part = yield* refund({ amount: Amount.make(500n) })
      assert.deepInclude(part, { paymentId: id, reason: null })
      // Of the request and the command that was left with the intent, one asks the provider; the other answers `pending`.
      assert.include(["pending", "succeeded"], part.status)
      assert.strictEqual((yield* Effect.flip(refund({ amount: Amount.make(2_001n) })))._tag, "RefundExceeded")
      assert.strictEqual(BigInt((yield* refund({})).amount), 2_000n)
      yield* eventually(
        client.payments.find({ params: { id } }).pipe(as(alice)),
        ({ amountRefunded }) => amountRefunded === 2_500n
      )
    }),
    wrong: [...wrongMoney.filter(([part]) => "amount" in part), [{ reason: "" }, "/body/reason"], [
      { userId: randomUUID() },
      "/body/userId"
    ]],
    counted: "SELECT count(*) FROM payments.outgoing WHERE kind = 'refund'",
    other: { amount: 101 }
  },
  "POST /api/payment/payouts": {
    status: 201,
    signedIn: true,
    keyed: true,
    shape: { "": payout, destination: ["type", "last4"] },
    attempt: Effect.map(rich, ({ token }) => ({
      path: "/api/payment/payouts",
      token,
      key: randomUUID(),
      body: { amount: 2_500, currency, destination }
    })),
    typed: Effect.gen(function*() {
      const { client } = yield* ApiTest
      const { owner, payout } = yield* made(1_000n, destination)
      assert.deepStrictEqual(payout.destination, { type: "bank", last4: "1234" })
      yield* eventually(
        client.payouts.find({ params: { id: payout.id } }).pipe(as(owner)),
        ({ status }) => status === "paid"
      )
      const poor = yield* register()
      const payload = { amount: Amount.make(1n), currency, destination }
      assert.strictEqual(
        (yield* Effect.flip(client.payouts.create({ payload }).pipe(keyed, as(poor))))._tag,
        "InsufficientFunds"
      )
    }),
    wrong: [
      ...wrongMoney,
      [{ userId: randomUUID() }, "/body/userId"]
    ],
    counted: "SELECT count(*) FROM payments.outgoing WHERE kind = 'payout'",
    other: { amount: 2_501 }
  },
  "GET /api/payment/payouts": {
    status: 200,
    signedIn: true,
    keyed: false,
    shape: { "": ["items", "nextCursor"], "items.0": payout },
    attempt: Effect.gen(function*() {
      const { client } = yield* ApiTest
      const { alice } = yield* Cast
      yield* client.payouts.create({ payload: { amount: Amount.make(100n), currency, destination } }).pipe(
        keyed,
        as(alice)
      )
      return { path: "/api/payment/payouts", token: alice.token }
    }),
    typed: Effect.gen(function*() {
      const { client } = yield* ApiTest
      const { owner, payout } = yield* made(100n)
      const { items } = yield* client.payouts.list({ query: { limit: 1 } }).pipe(as(owner))
      assert.deepStrictEqual(items.map(({ id }) => id), [payout.id])
    }),
    wrongQuery: wrongPage
  },
  "GET /api/payment/payouts/:id": {
    status: 200,
    signedIn: true,
    keyed: false,
    owned: true,
    shape: { "": payout },
    attempt: Effect.map(made(100n), ({ owner: { token }, payout: { id } }) => ({
      path: `/api/payment/payouts/${id}`,
      token
    })),
    typed: Effect.gen(function*() {
      const { client } = yield* ApiTest
      const { owner } = yield* made(100n)
      const id = PayoutId.make(randomUUID())
      assert.strictEqual((yield* Effect.flip(client.payouts.find({ params: { id } }).pipe(as(owner))))._tag, "NotFound")
    })
  },
  "POST /api/payment/payouts/:id/cancel": {
    status: 200,
    signedIn: true,
    keyed: false,
    owned: true,
    shape: { "": payout },
    attempt: Effect.map(waitsForApproval, ({ owner: { token }, payout: { id } }) => ({
      path: `/api/payment/payouts/${id}/cancel`,
      token
    })),
    typed: Effect.gen(function*() {
      const { client } = yield* ApiTest
      const { owner, payout: { id } } = yield* waitsForApproval
      assert.strictEqual((yield* client.payouts.cancel({ params: { id } }).pipe(as(owner))).status, "canceled")
      const { wallets } = yield* client.wallet.list().pipe(as(owner))
      assert.deepStrictEqual(wallets.map(({ available, held }) => [available, held]), [[100_000_000n, 0n]])
    })
  },
  "GET /api/admin/payouts": {
    status: 200,
    signedIn: true,
    keyed: false,
    role: "admin",
    shape: { "": ["items", "nextCursor"], "items.0": adminPayout },
    attempt: Effect.map(Effect.all([Cast, waitsForApproval]), ([{ admin: { token } }]) => ({
      path: "/api/admin/payouts",
      token
    })),
    typed: Effect.gen(function*() {
      const { client } = yield* ApiTest
      const { owner, payout } = yield* waitsForApproval
      const { items } = yield* client.adminPayments.payouts({ query: { limit: 1 } }).pipe(as((yield* Cast).admin))
      assert.deepStrictEqual(items.map(({ id, userId }) => [id, userId]), [[payout.id, owner.id]])
    }),
    wrongQuery: [...wrongPage, ["status=lost", "/query/status"]]
  },
  ...decisions()
}

function decisions(): Contracts {
  const decision = (act: "approve" | "reject", ends: string) => ({
    status: 200,
    signedIn: true,
    keyed: false,
    role: "admin" as const,
    shape: { "": adminPayout },
    attempt: Effect.map(Effect.all([Cast, waitsForApproval]), ([{ admin: { token } }, { payout: { id } }]) => ({
      path: `/api/admin/payouts/${id}/${act}`,
      token,
      body: { reason }
    })),
    typed: Effect.gen(function*() {
      const { client } = yield* ApiTest
      const { owner, payout: { id } } = yield* waitsForApproval
      const { admin } = yield* Cast
      yield* client.adminPayments[act]({ params: { id }, payload: { reason } }).pipe(as(admin))
      const seen = yield* client.payouts.find({ params: { id } }).pipe(as(owner))
      assert.strictEqual(seen.status, ends)
      const other = act === "approve" ? "reject" : "approve"
      const late = client.adminPayments[other]({ params: { id }, payload: { reason } }).pipe(as(admin))
      assert.strictEqual((yield* Effect.flip(late))._tag, "IllegalPayoutTransition")
    }),
    wrong: [[{ reason: "no" }, "/body/reason"]] as const
  })
  return {
    "POST /api/admin/payouts/:id/approve": decision("approve", "processing"),
    "POST /api/admin/payouts/:id/reject": decision("reject", "failed")
  }
}
