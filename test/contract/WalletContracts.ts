import { assert } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { randomUUID } from "node:crypto"
import { TransferId } from "../../src/domain/Ids.ts"
import { Amount } from "../../src/domain/Money.ts"
import { ApiTest, as, give, keyed, register } from "../layers/ApiTest.ts"
import { Cast, type Contracts } from "./RouteContract.ts"

const amount = Amount.make(2_500n)
const currency = "NGN" as const

/** Amounts that nobody may move (the limits of HTTP input). JSON has no 1e400: it reads as infinity, which it cannot write. */
export const badAmounts = [0, -1, 0.1, 9_007_199_254_740_992, 1_000_000_000_001, "5", null, true, [], {}]
const wrongAmounts = badAmounts.map((amount) => [{ amount }, "/body/amount"] as const)
export const wrongMoney = [...wrongAmounts, [{ currency: "XYZ" }, "/body/currency"], [
  { currency: 5 },
  "/body/currency"
]] as const
export const wrongPage = [
  ["limit=0", "/query/limit"],
  ["limit=101", "/query/limit"],
  ["limit=ten", "/query/limit"],
  ["cursor=!", "/query/cursor"]
] as const

const transfer = ["id", "kind", "amount", "currency", "fromUserId", "toUserId", "memo", "createdAt"]
const entry = ["id", "transferId", "kind", "amount", "currency", "balanceAfter", "memo", "createdAt"]
/** A transfer of 2,500 kobo from Alice to Bob. */
export const sent = Effect.gen(function*() {
  const { client } = yield* ApiTest
  const { alice, bob } = yield* Cast
  return yield* client.wallet.send({ payload: { toUserId: bob.id, amount, currency } }).pipe(keyed, as(alice))
})
export const walletContracts: Contracts = {
  "GET /api/wallet": {
    status: 200,
    signedIn: true,
    keyed: false,
    shape: { "": ["wallets"], "wallets.0": ["id", "currency", "balance", "held", "available"] },
    attempt: Effect.map(Cast, ({ alice: { token } }) => ({ path: "/api/wallet", token })),
    typed: Effect.gen(function*() {
      const { client } = yield* ApiTest
      const member = yield* register()
      assert.deepStrictEqual((yield* client.wallet.list().pipe(as(member))).wallets, [])
      yield* give(member.id, 700)
      const { wallets } = yield* client.wallet.list().pipe(as(member))
      assert.deepStrictEqual(
        wallets.map(({ available, balance, currency, held }) => [currency, balance, held, available]),
        [
          ["NGN", 700n, 0n, 700n]
        ]
      )
    })
  },
  "GET /api/wallet/balance": {
    status: 200,
    signedIn: true,
    keyed: false,
    shape: { "": ["currency", "balance", "held", "available", "at"] },
    attempt: Effect.map(Cast, ({ alice: { token } }) => ({ path: "/api/wallet/balance?currency=NGN", token })),
    typed: Effect.gen(function*() {
      const { client } = yield* ApiTest
      const member = yield* register()
      yield* give(member.id, 40)
      const { at } = yield* client.wallet.balance({ query: { currency } }).pipe(as(member))
      yield* give(member.id, 2)
      const then = yield* client.wallet.balance({ query: { currency, at } }).pipe(as(member))
      const now = yield* client.wallet.balance({ query: { currency } }).pipe(as(member))
      assert.deepStrictEqual([then.balance, now.balance, now.available], [40n, 42n, 42n])
    }),
    wrongQuery: [["currency=XYZ", "/query/currency"], ["currency=NGN&at=then", "/query/at"]]
  },
  "GET /api/wallet/statement": {
    status: 200,
    signedIn: true,
    keyed: false,
    shape: {},
    attempt: Effect.map(Cast, ({ alice: { token } }) => ({ path: "/api/wallet/statement?currency=NGN", token })),
    typed: Effect.gen(function*() {
      const { client } = yield* ApiTest
      const member = yield* register()
      for (const amount of [30, 12]) yield* give(member.id, amount)
      const bytes = yield* client.wallet.statement({ query: { currency } }).pipe(as(member))
      const lines = (yield* Stream.mkString(Stream.decodeText(bytes))).trim().split(/\r?\n/)
      assert.strictEqual(lines.length, 3)
      for (const amount of [30, 12]) assert.match(lines.join("\n"), new RegExp(`,${amount},`))
    }),
    wrongQuery: [["currency=XYZ", "/query/currency"], ["currency=NGN&from=then", "/query/from"], [
      "currency=NGN&to=soon",
      "/query/to"
    ]]
  },
  "GET /api/wallet/transactions": {
    status: 200,
    signedIn: true,
    keyed: false,
    shape: { "": ["items", "nextCursor"], "items.0": entry },
    attempt: Effect.map(
      Effect.andThen(sent, Cast),
      ({ alice: { token } }) => ({ path: "/api/wallet/transactions", token })
    ),
    typed: Effect.gen(function*() {
      const { client } = yield* ApiTest
      const { bob } = yield* Cast
      yield* sent
      const { items: [newest] } = yield* client.wallet.transactions({ query: { limit: 1, kind: "transfer" } }).pipe(
        as(bob)
      )
      assert.deepStrictEqual([newest?.amount, newest?.kind, newest?.memo], [2_500n, "transfer", null])
    }),
    wrongQuery: [
      ...wrongPage,
      ["currency=XYZ", "/query/currency"],
      ["kind=gift", "/query/kind"],
      ["from=yesterday", "/query/from"]
    ]
  },
  "GET /api/wallet/transfers/:id": {
    status: 200,
    signedIn: true,
    keyed: false,
    shape: { "": transfer },
    attempt: Effect.gen(function*() {
      const { alice } = yield* Cast
      return { path: `/api/wallet/transfers/${(yield* sent).id}`, token: alice.token }
    }),
    typed: Effect.gen(function*() {
      const { client } = yield* ApiTest
      const { alice, bob, sponsor } = yield* Cast
      const made = yield* sent
      const read = client.wallet.transfer({ params: { id: made.id } })
      assert.deepStrictEqual([yield* as(alice)(read), yield* as(bob)(read)], [made, made])
      const absent = client.wallet.transfer({ params: { id: TransferId.make(randomUUID()) } })
      const refusals = yield* Effect.all([Effect.flip(read), Effect.flip(absent)]).pipe(as(sponsor))
      assert.deepStrictEqual(refusals.map(({ _tag }) => _tag), ["NotFound", "NotFound"])
    })
  },
  "POST /api/wallet/transfers": {
    status: 201,
    signedIn: true,
    keyed: true,
    shape: { "": transfer },
    attempt: Effect.map(Cast, ({ alice, bob }) => ({
      path: "/api/wallet/transfers",
      token: alice.token,
      key: randomUUID(),
      body: { toUserId: bob.id, amount: 300, currency, memo: "lunch" }
    })),
    typed: Effect.gen(function*() {
      const { client } = yield* ApiTest
      const { alice, bob } = yield* Cast
      const made = yield* sent
      assert.deepStrictEqual([made.fromUserId, made.toUserId, made.amount], [alice.id, bob.id, amount])
      const poor = yield* register()
      const error = yield* Effect.flip(
        client.wallet.send({ payload: { toEmail: bob.email, amount, currency } }).pipe(keyed, as(poor))
      )
      assert.deepInclude(error, { _tag: "InsufficientFunds", available: 0n, currency })
    }),
    wrong: [...wrongMoney, [{ memo: "" }, "/body/memo"], [{ toUserId: "bob" }, "/body/toUserId"]],
    counted: "SELECT count(*) FROM wallet.transfers",
    other: { amount: 301 }
  }
}
