import { assert, layer } from "@effect/vitest"
import { Deferred, Effect } from "effect"
import { TestClock } from "effect/testing"
import { WebhookDeliveries } from "../../src/services/WebhookDeliveries.ts"
import { mostWaiting } from "../../src/services/WebhookDeliveryStore.ts"
import { WebhookEndpoints } from "../../src/services/WebhookEndpoints.ts"
import { until } from "../layers/Held.ts"
import {
  answers,
  anybody,
  as,
  asRole,
  clocked,
  endpoint,
  endpointOf,
  logOf,
  nowMillis,
  Outside,
  payment,
  round,
  sentTo,
  WebhooksBench
} from "../layers/WebhooksBench.ts"

layer(WebhooksBench, { timeout: "60 seconds", excludeTestServices: true })("webhooks out are bounded", (it) => {
  it.effect("takes ten endpoints of an account, also when they come at once, and a place that was left again", () =>
    Effect.gen(function*() {
      const user = yield* anybody
      const made = yield* Effect.forEach(
        Array.from({ length: 14 }),
        () => Effect.result(endpoint(user)),
        { concurrency: "unbounded" }
      )
      const taken = made.flatMap((one) => one._tag === "Success" ? [one.success] : [])
      assert.lengthOf(taken, 10)
      const { list, remove } = yield* WebhookEndpoints
      const { purge } = yield* WebhookDeliveries
      const first = taken[0]
      if (first === undefined) return assert.fail()
      yield* payment(user)
      yield* round
      yield* remove(first.id).pipe(as(user))
      assert.strictEqual((yield* Effect.flip(endpointOf(user, first.id)))._tag, "NotFound")
      assert.lengthOf((yield* list({ cursor: undefined, limit: 100 }).pipe(as(user))).items, 9)
      yield* endpoint(user)
      yield* TestClock.adjust("1 hour")
      yield* purge
      const left = yield* asRole("owner", "SELECT count(*)::int FROM webhooks.endpoints WHERE id = $1", [first.id])
      assert.deepStrictEqual(left, [[0]])
    }).pipe(clocked))

  it.effect("bounds what waits for an endpoint: what comes on top is a dead letter at once", () =>
    Effect.gen(function*() {
      const user = yield* anybody
      const target = yield* endpoint(user, answers(500))
      yield* asRole(
        "owner",
        `WITH made AS (INSERT INTO webhooks.events (id, type, user_id, body, routed_at)
           SELECT 'evt_payment_failed_' || gen_random_uuid(), 'payment.failed', $1, '{}', now()
             FROM generate_series(1, $3::int) RETURNING seq)
         INSERT INTO webhooks.deliveries (seq, endpoint_id, state, next_at, give_up_at, created_at, updated_at)
         SELECT seq, $2, 'pending', now() + interval '1 day', now() + interval '3 days', now(), now() FROM made`,
        [user, target.id, mostWaiting]
      )
      const { eventId } = yield* payment(user)
      yield* round
      const [dead] = yield* logOf(user, target.id, "failed")
      assert.deepInclude(dead, { id: eventId, attempts: 0, lastFailure: "too many deliveries were waiting" })
    }).pipe(clocked))

  it.effect("begins no attempt that its lease may not cover, so that nobody else sends the same", () =>
    Effect.gen(function*() {
      const user = yield* anybody
      const held: Array<Deferred.Deferred<void>> = []
      const begun: Array<number> = []
      const target = yield* endpoint(user, () =>
        Effect.gen(function*() {
          const gate = yield* Deferred.make<void>()
          begun.push(yield* nowMillis)
          held.push(gate)
          yield* Deferred.await(gate)
          return { status: 204, failure: null }
        }))
      yield* asRole(
        "owner",
        `INSERT INTO webhooks.events (id, type, user_id, body)
         SELECT 'evt_payment_failed_' || gen_random_uuid(), 'payment.failed', $1, '{}' FROM generate_series(1, 48)`,
        [user]
      )
      const start = yield* nowMillis
      const [turn, ...others] = yield* (yield* WebhookDeliveries).round
      if (turn === undefined) return assert.fail()
      assert.lengthOf(others, 0)
      const sending = yield* Effect.forkChild(turn)
      let ended = false
      sending.addObserver(() => {
        ended = true
      })
      // Eight at once, all of them at the receiver, so that no query waits while the clock goes on.
      while (!ended) {
        yield* until(() => ended || held.length === 8)
        yield* TestClock.adjust(31_000)
        for (const gate of held.splice(0)) yield* Deferred.succeed(gate, undefined)
      }
      assert.lengthOf(begun, 24)
      assert.isBelow(Math.max(...begun) - start, 90_000)
      ;(yield* Outside).at.set(target.url, answers(204))
      yield* round
      const sent = (yield* sentTo(target.url)).map(({ headers }) => headers["webhook-id"])
      assert.deepStrictEqual([sent.length, new Set(sent).size], [48, 48])
    }).pipe(clocked))

  it.effect("forgets after thirty days what it delivered", () =>
    Effect.gen(function*() {
      const user = yield* anybody
      const target = yield* endpoint(user)
      yield* payment(user)
      yield* round
      const { purge } = yield* WebhookDeliveries
      yield* TestClock.adjust("29 days")
      yield* purge
      assert.lengthOf(yield* logOf(user, target.id), 1)
      yield* TestClock.adjust("25 hours")
      yield* purge
      assert.lengthOf(yield* logOf(user, target.id), 0)
    }).pipe(clocked))
})
