import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { randomUUID } from "node:crypto"
import { TransferId } from "../../src/domain/Ids.ts"
import { Amount } from "../../src/domain/Money.ts"
import { ApiTest, as, give, keyed, register } from "../layers/ApiTest.ts"
import { Cast, type Contracts } from "./RouteContract.ts"
import { sent, wrongMoney, wrongPage } from "./WalletContracts.ts"

const act = ["id", "kind", "amount", "currency", "reverses", "reason", "by", "createdAt"]
const currency = "NGN" as const
const reason = "a ticket of the support desk"

const adjusted = Effect.gen(function*() {
  const { client } = yield* ApiTest
  const { admin, bob } = yield* Cast
  const payload = { userId: bob.id, amount: 700, currency, reason }
  return yield* client.admin.adjust({ payload }).pipe(keyed, as(admin))
})

export const adminContracts: Contracts = {
  "POST /api/admin/adjustments": {
    status: 201,
    signedIn: true,
    keyed: true,
    role: "admin",
    shape: { "": act },
    attempt: Effect.map(Cast, ({ admin, bob }) => ({
      path: "/api/admin/adjustments",
      token: admin.token,
      key: randomUUID(),
      body: { userId: bob.id, amount: 250, currency, reason }
    })),
    typed: Effect.gen(function*() {
      const { client } = yield* ApiTest
      const { admin } = yield* Cast
      const member = yield* register()
      yield* give(member.id, 900)
      const debit = (amount: number) =>
        client.admin.adjust({ payload: { userId: member.id, amount, currency, reason } }).pipe(keyed, as(admin))
      const { amount, by } = yield* debit(-400)
      assert.deepStrictEqual([amount, by], [-400n, admin.id])
      assert.strictEqual((yield* Effect.flip(debit(-501)))._tag, "InsufficientFunds")
      const yen = { userId: member.id, amount: 5, currency: "JPY" as const, reason }
      const untraded = yield* Effect.flip(client.admin.adjust({ payload: yen }).pipe(keyed, as(admin)))
      assert.deepInclude(untraded, {
        _tag: "UnsupportedCurrency",
        currency: "JPY",
        allowed: ["NGN", "USD"],
        status: 400
      })
      const { wallets } = yield* client.wallet.list().pipe(as(member))
      assert.deepStrictEqual(wallets.map(({ balance }) => balance), [500n])
    }),
    wrong: [
      ...wrongMoney.filter(([part]) => !("amount" in part && part.amount === -1)),
      [{ reason: "" }, "/body/reason"],
      [{ userId: "bob" }, "/body/userId"]
    ],
    counted: "SELECT count(*) FROM wallet.transfers",
    other: { amount: 251 }
  },
  "POST /api/admin/transfers/:id/reversals": {
    status: 201,
    signedIn: true,
    keyed: true,
    role: "admin",
    shape: { "": act },
    attempt: Effect.map(Effect.all([Cast, sent]), ([{ admin }, { id }]) => ({
      path: `/api/admin/transfers/${id}/reversals`,
      token: admin.token,
      key: randomUUID(),
      body: { amount: 500, reason }
    })),
    typed: Effect.gen(function*() {
      const { client } = yield* ApiTest
      const { admin } = yield* Cast
      const { amount, id } = yield* sent
      const reverse = (id: TransferId, amount: Amount) =>
        client.admin.reverse({ params: { id }, payload: { amount, reason } }).pipe(keyed, as(admin))
      const done = yield* reverse(id, amount)
      assert.deepStrictEqual([done.kind, done.reverses, done.amount], ["reversal", id, BigInt(amount)])
      assert.strictEqual((yield* Effect.flip(reverse(id, Amount.make(1n))))._tag, "ReversalExceeded")
      const nothing = TransferId.make(randomUUID())
      assert.strictEqual((yield* Effect.flip(reverse(nothing, amount)))._tag, "NotFound")
    }),
    wrong: [...wrongMoney.filter(([part]) => "amount" in part), [{ reason: "no" }, "/body/reason"]],
    counted: "SELECT count(*) FROM wallet.transfers",
    other: { amount: 501 }
  },
  "GET /api/admin/audit-log": {
    status: 200,
    signedIn: true,
    keyed: false,
    role: "admin",
    shape: { "": ["items", "nextCursor"], "items.0": act },
    attempt: Effect.map(Effect.all([Cast, adjusted]), ([{ admin: { token } }]) => ({
      path: "/api/admin/audit-log",
      token
    })),
    typed: Effect.gen(function*() {
      const { client } = yield* ApiTest
      const done = yield* adjusted
      const { items } = yield* client.admin.auditLog({ query: { limit: 1 } }).pipe(as((yield* Cast).admin))
      assert.deepStrictEqual(items, [done])
    }),
    wrongQuery: wrongPage
  },
  "GET /api/admin/invariants": {
    status: 200,
    signedIn: true,
    keyed: false,
    role: "admin",
    shape: {
      "": ["clean", "accounts", "transfers", "entries", "head", "unchained", "findings"],
      "findings.0": ["invariant", "says", "broken"]
    },
    attempt: Effect.map(Cast, ({ admin: { token } }) => ({ path: "/api/admin/invariants", token })),
    typed: Effect.gen(function*() {
      const { client } = yield* ApiTest
      const report = yield* client.admin.invariants().pipe(as((yield* Cast).admin))
      assert.deepStrictEqual(report.findings.filter(({ broken }) => broken.length > 0), [])
      assert.isTrue(report.clean)
    })
  }
}
