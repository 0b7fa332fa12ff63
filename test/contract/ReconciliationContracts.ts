import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { randomUUID } from "node:crypto"
import { Amount } from "../../src/domain/Money.ts"
import { ApiTest, as, eventually, keyed, owner, pay } from "../layers/ApiTest.ts"
import { Cast, type Contracts } from "./RouteContract.ts"
import { wrongPage } from "./WalletContracts.ts"

const report = ["id", "since", "createdAt", "compared", "repaired", "unavailable", "differences"]
const event = ["id", "provider", "eventId", "type", "about", "reference", "paymentId", "operationId", "receivedAt"]

const reconciled = Effect.gen(function*() {
  const { client } = yield* ApiTest
  return yield* client.adminPayments.reconcile({ payload: { hours: 1 } }).pipe(as((yield* Cast).admin))
})

/** An event of the sandbox about a charge that was paid. */
const arrived = Effect.gen(function*() {
  const { client } = yield* ApiTest
  const { alice } = yield* Cast
  const payload = { amount: Amount.make(900n), currency: "NGN" } as const
  const made = yield* client.payments.charge({ payload }).pipe(keyed, as(alice))
  yield* pay(made.nextAction?.url ?? "")
  const rows = yield* eventually(
    owner(`SELECT event_id FROM payments.webhook_inbox WHERE payment_id = '${made.id}'`),
    (found) => found.length > 0
  )
  return { payment: made.id, eventId: String(rows[0]?.[0]) }
})

export const reconciliationContracts: Contracts = {
  "GET /api/admin/reconciliation": {
    status: 200,
    signedIn: true,
    keyed: false,
    role: "admin",
    shape: { "": ["items", "nextCursor"], "items.0": report },
    attempt: Effect.map(Effect.all([Cast, reconciled]), ([{ admin: { token } }]) => ({
      path: "/api/admin/reconciliation",
      token
    })),
    typed: Effect.gen(function*() {
      const { client } = yield* ApiTest
      const done = yield* reconciled
      // The server compares by itself too, a minute after its start.
      const { items } = yield* client.adminPayments.reports({ query: { limit: 2 } }).pipe(as((yield* Cast).admin))
      assert.deepStrictEqual(items.filter(({ id }) => id === done.id), [done])
    }),
    wrongQuery: wrongPage
  },
  "POST /api/admin/reconciliation": {
    status: 200,
    signedIn: true,
    keyed: false,
    role: "admin",
    shape: { "": report },
    attempt: Effect.map(
      Cast,
      ({ admin: { token } }) => ({ path: "/api/admin/reconciliation", token, body: { hours: 1 } })
    ),
    typed: Effect.gen(function*() {
      yield* arrived
      const done = yield* reconciled
      assert.isAbove(done.compared, 0)
      // What the contracts of flags leave undecided is told of, as it should be.
      const others = done.differences.filter(({ says }) => says !== "It was not credited: balance_limit.")
      assert.deepStrictEqual([others, done.unavailable], [[], []])
    }),
    wrong: [[{ hours: 0 }, "/body/hours"], [{ hours: 721 }, "/body/hours"]]
  },
  "GET /api/admin/webhooks": {
    status: 200,
    signedIn: true,
    keyed: false,
    role: "admin",
    shape: { "": ["items", "nextCursor"], "items.0": event },
    attempt: Effect.map(
      Effect.all([Cast, arrived]),
      ([{ admin: { token } }]) => ({ path: "/api/admin/webhooks", token })
    ),
    typed: Effect.gen(function*() {
      const { client } = yield* ApiTest
      const { eventId, payment } = yield* arrived
      const { items } = yield* client.adminPayments.webhooks({ query: { limit: 20 } }).pipe(as((yield* Cast).admin))
      const mine = items.find((one) => one.eventId === eventId)
      assert.deepStrictEqual([mine?.provider, mine?.about, mine?.paymentId], ["sandbox", "charge", payment])
    }),
    wrongQuery: wrongPage
  },
  "POST /api/admin/webhooks/:provider/:eventId/replay": {
    status: 200,
    signedIn: true,
    keyed: false,
    role: "admin",
    shape: { "": ["provider", "eventId", "replayedAt"] },
    attempt: Effect.map(Effect.all([Cast, arrived]), ([{ admin: { token } }, { eventId }]) => ({
      path: `/api/admin/webhooks/sandbox/${eventId}/replay`,
      token
    })),
    typed: Effect.gen(function*() {
      const { client } = yield* ApiTest
      const { eventId, payment } = yield* arrived
      const { admin } = yield* Cast
      const replay = (eventId: string) =>
        client.adminPayments.replay({ params: { provider: "sandbox", eventId } }).pipe(as(admin))
      assert.deepInclude(yield* replay(eventId), { provider: "sandbox", eventId })
      assert.strictEqual((yield* Effect.flip(replay(randomUUID())))._tag, "NotFound")
      yield* eventually(
        owner(
          `SELECT count(*)::int FROM queue.payment_commands WHERE id LIKE '${payment}:${eventId}%' AND state = 'completed'`
        ),
        (rows) => rows[0]?.[0] === 2
      )
      const credits = yield* owner(`SELECT count(*)::int FROM wallet.transfers WHERE key = 'charge:${payment}'`)
      assert.strictEqual(credits[0]?.[0], 1)
    })
  }
}
