import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { randomUUID } from "node:crypto"
import { OutgoingId } from "../../src/domain/Ids.ts"
import { Amount } from "../../src/domain/Money.ts"
import { ApiTest, as, keyed, owner, pay, register } from "../layers/ApiTest.ts"
import { Cast, type Contracts } from "./RouteContract.ts"
import { wrongPage } from "./WalletContracts.ts"

const flagged = [
  "kind",
  "id",
  "userId",
  "provider",
  "providerReference",
  "amount",
  "currency",
  "status",
  "flag",
  "decision",
  "createdAt"
]
const reason = "a ticket of the support desk"

/** A charge that was paid, and that somebody has to decide about. */
const made = Effect.gen(function*() {
  const { client } = yield* ApiTest
  const member = yield* register()
  const payload = { amount: Amount.make(900n), currency: "NGN" } as const
  const { id, nextAction } = yield* client.payments.charge({ payload }).pipe(keyed, as(member))
  yield* owner(`UPDATE payments.payments SET flag = 'balance_limit' WHERE id = '${id}'`)
  yield* pay(nextAction?.url ?? "")
  return { id: OutgoingId.make(id), member }
})

export const flagContracts: Contracts = {
  "GET /api/admin/flagged": {
    status: 200,
    signedIn: true,
    keyed: false,
    role: "admin",
    shape: { "": ["items", "nextCursor"], "items.0": flagged },
    attempt: Effect.map(Effect.all([Cast, made]), ([{ admin: { token } }]) => ({
      path: "/api/admin/flagged",
      token
    })),
    typed: Effect.gen(function*() {
      const { client } = yield* ApiTest
      const { id } = yield* made
      const { items } = yield* client.adminPayments.flagged({ query: { kind: "charge", limit: 1 } }).pipe(
        as((yield* Cast).admin)
      )
      assert.deepStrictEqual(items.map((one) => [one.id, one.flag, one.decision]), [[id, "balance_limit", null]])
    }),
    wrongQuery: [...wrongPage, ["kind=dispute", "/query/kind"]]
  },
  "GET /api/admin/flagged/:kind/:id": {
    status: 200,
    signedIn: true,
    keyed: false,
    role: "admin",
    shape: { "": [...flagged, "says"], says: ["reference", "status", "amount", "currency", "livemode"] },
    attempt: Effect.map(Effect.all([Cast, made]), ([{ admin: { token } }, { id }]) => ({
      path: `/api/admin/flagged/charge/${id}`,
      token
    })),
    typed: Effect.gen(function*() {
      const { client } = yield* ApiTest
      const { admin } = yield* Cast
      const { id } = yield* made
      const look = (kind: "charge" | "payout", id: string) =>
        client.adminPayments.look({ params: { kind, id: OutgoingId.make(id) } }).pipe(as(admin))
      const { says } = yield* look("charge", id)
      assert.deepInclude(says, { status: "succeeded", amount: 900n, currency: "NGN", livemode: false })
      assert.strictEqual((yield* Effect.flip(look("payout", id)))._tag, "NotFound")
      assert.strictEqual((yield* Effect.flip(look("charge", randomUUID())))._tag, "NotFound")
    })
  },
  "POST /api/admin/flagged/:kind/:id/decision": {
    status: 200,
    signedIn: true,
    keyed: false,
    role: "admin",
    shape: { "": flagged },
    attempt: Effect.map(Effect.all([Cast, made]), ([{ admin: { token } }, { id }]) => ({
      path: `/api/admin/flagged/charge/${id}/decision`,
      token,
      body: { decision: "settle", reason }
    })),
    typed: Effect.gen(function*() {
      const { client } = yield* ApiTest
      const { admin } = yield* Cast
      const { id, member } = yield* made
      const decide = (decision: "settle" | "release") =>
        client.adminPayments.decide({ params: { kind: "charge", id }, payload: { decision, reason } }).pipe(as(admin))
      assert.deepInclude(yield* decide("settle"), { status: "succeeded", flag: null, decision: "settle" })
      assert.strictEqual((yield* Effect.flip(decide("release")))._tag, "FlagNotDecidable")
      const { wallets } = yield* client.wallet.list().pipe(as(member))
      assert.deepStrictEqual(wallets.map(({ balance }) => balance), [900n])
    }),
    wrong: [[{ reason: "no" }, "/body/reason"], [{ decision: "ignore" }, "/body/decision"]]
  }
}
