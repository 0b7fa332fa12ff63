import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { randomUUID } from "node:crypto"
import { ApiTest, as, owner } from "../layers/ApiTest.ts"
import { Cast, type Contracts } from "./RouteContract.ts"
import { wrongPage } from "./WalletContracts.ts"

const letter = ["queue", "bulkhead", "id", "attempts", "lastFailure", "requestId", "createdAt", "failedAt"]

/** A payment command that was given up, about a payment that is not there: tried again, it is done at once. */
const given = Effect.gen(function*() {
  const payment = randomUUID()
  const id = `${payment}:event`
  yield* owner(
    `INSERT INTO queue.payment_commands
       (id, queue_name, element, state, attempts, last_failure, visible_at, created_at, updated_at)
     VALUES ('${id}', 'payment_commands', '{"requestId":"r-1","traceparent":null,"paymentId":"${payment}"}', 'failed', 20,
       'ordered by the test', now(), now(), now())`
  )
  return id
})

export const deadLetterContracts: Contracts = {
  "GET /api/admin/dead-letters": {
    status: 200,
    signedIn: true,
    keyed: false,
    role: "admin",
    shape: { "": ["items", "nextCursor"], "items.0": letter },
    attempt: Effect.map(Effect.all([Cast, given]), ([{ admin: { token } }]) => ({
      path: "/api/admin/dead-letters",
      token
    })),
    typed: Effect.gen(function*() {
      const { client } = yield* ApiTest
      const ids = [yield* given, yield* given]
      const { admin } = yield* Cast
      const query = { queue: "payment_commands", limit: 100 } as const
      const { items } = yield* client.deadLetters.list({ query }).pipe(as(admin))
      const mine = items.filter(({ id }) => ids.includes(id))
      assert.deepStrictEqual(mine.map(({ id }) => id), ids)
      assert.deepInclude(mine[0], {
        bulkhead: "payments",
        attempts: 20,
        lastFailure: "ordered by the test",
        requestId: "r-1"
      })
      const others = yield* client.deadLetters.list({ query: { queue: "settlement_commands" } }).pipe(as(admin))
      assert.deepStrictEqual(others.items, [])
    }),
    wrongQuery: [...wrongPage, ["queue=mine", "/query/queue"]]
  },
  "POST /api/admin/dead-letters/:queue/:commandId/requeue": {
    status: 200,
    signedIn: true,
    keyed: false,
    role: "admin",
    shape: { "": ["queue", "id", "requeuedAt"] },
    attempt: Effect.map(Effect.all([Cast, given]), ([{ admin: { token } }, id]) => ({
      path: `/api/admin/dead-letters/payment_commands/${encodeURIComponent(id)}/requeue`,
      token
    })),
    typed: Effect.gen(function*() {
      const { client } = yield* ApiTest
      const { admin } = yield* Cast
      const id = yield* given
      const requeue = (commandId: string) =>
        client.deadLetters.requeue({ params: { queue: "payment_commands", commandId } }).pipe(as(admin))
      assert.deepInclude(yield* requeue(id), { queue: "payment_commands", id })
      assert.strictEqual((yield* Effect.flip(requeue(id)))._tag, "NotDead")
      assert.strictEqual((yield* Effect.flip(requeue(randomUUID())))._tag, "NotFound")
      const kept = yield* owner(`SELECT requeued_by, last_failure FROM queue.requeues WHERE command_id = '${id}'`)
      assert.deepStrictEqual(kept.map((row) => [...row]), [[admin.id, "ordered by the test"]])
    })
  }
}
