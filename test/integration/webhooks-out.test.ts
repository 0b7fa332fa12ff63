import { assert, layer } from "@effect/vitest"
import { Deferred, Effect, Fiber, Option, Schema } from "effect"
import { TestClock } from "effect/testing"
import { Webhook } from "standardwebhooks"
import { WebhookEventId } from "../../src/domain/WebhookDeliveries.ts"
import { WebhookDeliveries } from "../../src/services/WebhookDeliveries.ts"
import { WebhookEndpoints } from "../../src/services/WebhookEndpoints.ts"
import { WebhookQueue } from "../../src/services/WebhookLogStore.ts"
import {
  answers,
  anybody,
  as,
  asRole,
  clocked,
  endpoint,
  endpointOf,
  type Letter,
  logOf,
  nowMillis,
  Outside,
  passes,
  payment,
  round,
  sentTo,
  WebhooksBench
} from "../layers/WebhooksBench.ts"

const minute = 60_000
const hour = 60 * minute
const Body = Schema.decodeUnknownSync(Schema.fromJsonString(Schema.Struct({
  type: Schema.String,
  timestamp: Schema.String,
  data: Schema.Record(Schema.String, Schema.Unknown)
})))
const idOf = (letter: Letter | undefined) => letter?.headers["webhook-id"]

layer(WebhooksBench, { timeout: "60 seconds", excludeTestServices: true })("webhooks out", (it) => {
  it.effect("tells the owner's endpoints of a payment, once, and nobody else's", () =>
    Effect.gen(function*() {
      const [user, other] = [yield* anybody, yield* anybody]
      const [mine, theirs] = [yield* endpoint(user), yield* endpoint(other)]
      const { eventId, id } = yield* payment(user)
      yield* round
      yield* round
      const letters = yield* sentTo(mine.url)
      assert.deepStrictEqual(letters.map(idOf), [eventId])
      const { data, type } = Body(letters[0]?.body)
      assert.strictEqual(type, "payment.succeeded")
      assert.deepInclude(data, { id, userId: user, status: "succeeded", amount: 2500, currency: "NGN" })
      assert.lengthOf(yield* sentTo(theirs.url), 0)
      assert.deepInclude((yield* logOf(user, mine.id))[0], { id: eventId, state: "delivered", attempts: 1 })
    }).pipe(clocked))

  it.effect("sends only the types that an endpoint asks for, and with the scope all of everybody", () =>
    Effect.gen(function*() {
      const [user, admin] = [yield* anybody, yield* anybody]
      ;(yield* Outside).roles.set(admin, Option.some(["member", "admin"]))
      const some = yield* endpoint(user, answers(200), { events: ["payment.failed"] })
      const all = yield* endpoint(admin, answers(200), { scope: "all" }, ["member", "admin"])
      const good = yield* payment(user)
      const bad = yield* payment(user, "failed")
      yield* round
      assert.deepStrictEqual((yield* sentTo(some.url)).map(idOf), [bad.eventId])
      assert.sameMembers((yield* sentTo(all.url)).map(idOf), [good.eventId, bad.eventId])
      const refused = yield* Effect.flip(endpoint(user, answers(200), { scope: "all" }))
      assert.strictEqual(refused._tag, "Forbidden") // Who is no administrator any more is told of nothing more.
      ;(yield* Outside).roles.set(admin, Option.some(["member"]))
      yield* payment(user)
      yield* round
      assert.lengthOf(yield* sentTo(all.url), 2)
      assert.strictEqual((yield* endpointOf(admin, all.id)).disabledReason, "owner_gone")
    }).pipe(clocked))

  it.effect("delivers after an hour in which the receiver was down, under the same id", () =>
    Effect.gen(function*() {
      const user = yield* anybody
      const up = (yield* nowMillis) + hour
      const target = yield* endpoint(user, () =>
        Effect.map(nowMillis, (now) =>
          now < up ? { status: null, failure: "down" } : { status: 200, failure: null }))
      const { eventId } = yield* payment(user)
      yield* round
      yield* passes(115, minute)
      const letters = yield* sentTo(target.url)
      assert.lengthOf(letters, 7)
      assert.deepStrictEqual([...new Set(letters.map(idOf))], [eventId])
      const [delivery] = yield* logOf(user, target.id)
      assert.deepInclude(delivery, { state: "delivered", attempts: 7, lastFailure: null, nextAttemptAt: null })
      assert.deepStrictEqual(
        delivery?.log.map(({ status }) =>
          status
        ),
        [null, null, null, null, null, null, 200]
      )
      assert.isNull((yield* endpointOf(user, target.id)).failingSince)
    }).pipe(clocked))

  it.effect("gives up after thirteen attempts within 72 hours, and tries again when it is asked to", () =>
    Effect.gen(function*() {
      const user = yield* anybody
      const target = yield* endpoint(user, answers(500))
      const { eventId } = yield* payment(user)
      const began = yield* nowMillis
      yield* round
      yield* passes(432, 10 * minute)
      const [delivery] = yield* logOf(user, target.id, "failed")
      assert.deepInclude(delivery, { state: "failed", attempts: 13, lastFailure: "the receiver answered 500" })
      const times = delivery?.log.map(({ at }) => at.epochMilliseconds - began) ?? []
      assert.isAtMost(times.at(-1) ?? Infinity, 72 * hour)
      assert.isAtLeast(times.at(-1) ?? 0, 63 * hour)
      const { deadLetters, requeue, state } = yield* WebhookQueue
      const letter = `${target.id}:${eventId}`
      assert.include((yield* deadLetters(Option.none(), 100)).map(({ id }) => id), letter)
      const { at } = yield* Outside
      at.set(target.url, answers(200))
      const { redeliver } = yield* WebhookEndpoints
      assert.strictEqual((yield* redeliver(target.id, WebhookEventId.make(eventId)).pipe(as(user))).state, "pending")
      yield* round
      const letters = yield* sentTo(target.url)
      assert.lengthOf(letters, 14)
      assert.strictEqual(idOf(letters.at(-1)), eventId)
      assert.isTrue(Option.contains(yield* state(letter), "completed"))
      assert.isFalse(yield* requeue(letter, "somebody"))
    }).pipe(clocked))

  it.effect("does not let an endpoint that never answers hold up another", () =>
    Effect.gen(function*() {
      const user = yield* anybody
      const asked = yield* Deferred.make<void>()
      const silent = yield* endpoint(user, () => Effect.andThen(Deferred.succeed(asked, undefined), Effect.never))
      const quick = yield* endpoint(user)
      const { eventId } = yield* payment(user)
      const turns = yield* Effect.flatMap(WebhookDeliveries, ({ round }) => round)
      const running = yield* Effect.forEach(turns, (turn) => Effect.forkChild(turn))
      yield* Deferred.await(asked)
      while ((yield* logOf(user, quick.id, "delivered")).length === 0) yield* Effect.yieldNow
      // In the meantime more comes, and the silent one is left to whom it is leased to.
      yield* payment(user)
      yield* round
      assert.lengthOf(yield* sentTo(quick.url), 2)
      assert.lengthOf(yield* sentTo(silent.url), 1)
      // Its process ends between sending and writing it down: once the lease is over the same event is sent again.
      yield* Effect.forEach(running, Fiber.interrupt)
      const { at } = yield* Outside
      at.set(silent.url, answers(200))
      yield* TestClock.adjust("121 seconds")
      yield* round
      assert.strictEqual((yield* sentTo(silent.url)).filter((letter) => idOf(letter) === eventId).length, 2)
      assert.lengthOf(yield* logOf(user, silent.id, "delivered"), 2)
    }).pipe(clocked))

  it.effect("sends one at a time to an endpoint that fails, so that the others keep their attempts", () =>
    Effect.gen(function*() {
      const user = yield* anybody
      const target = yield* endpoint(user, answers(503))
      for (let n = 0; n < 12; n++) yield* payment(user)
      yield* round
      const first = (yield* sentTo(target.url)).length
      assert.isAtMost(first, 8)
      yield* passes(1, 1_000)
      assert.lengthOf(yield* sentTo(target.url), first + 1)
      const { at } = yield* Outside
      at.set(target.url, answers(200))
      yield* passes(5, 30_000)
      assert.lengthOf(yield* logOf(user, target.id, "delivered"), 12)
    }).pipe(clocked))

  it.effect("disables an endpoint that answers 410, and one that did nothing but fail for five days", () =>
    Effect.gen(function*() {
      const user = yield* anybody
      const gone = yield* endpoint(user, answers(410))
      const dead = yield* endpoint(user, answers(500))
      yield* payment(user)
      yield* round
      assert.deepInclude(yield* endpointOf(user, gone.id), { status: "disabled", disabledReason: "gone" })
      assert.strictEqual((yield* logOf(user, gone.id))[0]?.state, "failed")
      assert.strictEqual((yield* endpointOf(user, dead.id)).status, "enabled")
      yield* TestClock.adjust("121 hours")
      yield* payment(user)
      yield* round
      assert.deepInclude(yield* endpointOf(user, dead.id), { status: "disabled", disabledReason: "failing" })
      assert.lengthOf(yield* sentTo(gone.url), 1)
      const { edit, redeliver } = yield* WebhookEndpoints
      const [delivery] = yield* logOf(user, dead.id)
      const again = redeliver(dead.id, delivery?.id ?? WebhookEventId.make("")).pipe(as(user))
      assert.strictEqual((yield* Effect.flip(again))._tag, "WebhookEndpointDisabled")
      const back = yield* edit(dead.id, { status: "enabled" }).pipe(as(user))
      assert.deepInclude(back, { status: "enabled", disabledReason: null, failingSince: null })
      assert.strictEqual((yield* again).state, "pending")
    }).pipe(clocked))

  it.effect("signs with both secrets for a day after a rotation, then with the new one alone", () =>
    Effect.gen(function*() {
      const user = yield* anybody
      const { id, secret: old, url } = yield* endpoint(user)
      const { secret } = yield* Effect.flatMap(WebhookEndpoints, ({ rotate }) => rotate(id)).pipe(as(user))
      const opens = (key: string, letter: Letter | undefined) => {
        try {
          // The judge holds the time against the real clock, which this test has left behind: only signatures are asked.
          const { "webhook-id": webhookId = "", "webhook-timestamp": at = "" } = letter?.headers ?? {}
          const judged = new Webhook(key).sign(webhookId, new Date(Number(at) * 1_000), letter?.body ?? "")
          return letter?.headers["webhook-signature"]?.split(" ").includes(judged) === true
        } catch {
          return false
        }
      }
      yield* payment(user)
      yield* round
      const [first] = yield* sentTo(url)
      assert.deepStrictEqual([opens(old, first), opens(secret, first)], [true, true])
      yield* TestClock.adjust("24 hours")
      yield* payment(user)
      yield* round
      const second = (yield* sentTo(url)).at(-1)
      assert.deepStrictEqual([opens(old, second), opens(secret, second)], [false, true])
      const kept = yield* asRole("owner", "SELECT encode(secret, 'escape') FROM webhooks.endpoints WHERE id = $1", [id])
      assert.notInclude(String(kept[0]?.[0]), secret.slice(6))
    }).pipe(clocked))
})
