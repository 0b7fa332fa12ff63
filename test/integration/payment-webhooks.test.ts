import { assert, layer } from "@effect/vitest"
import { Effect, Schedule } from "effect"
import { connect } from "node:net"
import { UserId } from "../../src/domain/Ids.ts"
import { newId } from "../../src/services/NewId.ts"
import {
  balanceOf,
  charge,
  checkout,
  confirm,
  deliver,
  Hooks,
  inboxSize,
  owner,
  PaymentsBench,
  sign,
  transfersOf
} from "../layers/PaymentsBench.ts"
import { Sandbox } from "../layers/sandbox.ts"

layer(PaymentsBench, { timeout: "60 seconds", excludeTestServices: true })("webhooks in", (it) => {
  it.effect("credits once when 20 copies of the webhook race 20 confirms", () =>
    Effect.gen(function*() {
      const sandbox = yield* Sandbox
      const { base } = yield* Hooks
      const user = yield* newId(UserId)
      const payment = yield* charge(user, 700)
      yield* sandbox.forwardTo(undefined)
      yield* checkout(payment, "succeed")
      const event = yield* Effect.sync(() => sandbox.deliveries.find(({ body }) => body.includes(payment.id))).pipe(
        Effect.repeat({ schedule: Schedule.spaced("10 millis"), until: (found) => found !== undefined }),
        Effect.timeout("30 seconds")
      )
      const copy = deliver(event?.body ?? "", String(event?.headers["sandbox-signature"]))
      const copies = Effect.all(Array.from({ length: 20 }, () => copy), { concurrency: "unbounded" })
      // Who is told that the ledger does not get on, on a machine that is busy, asks again.
      const asked = confirm(user, payment.id).pipe(
        Effect.retry({
          schedule: Schedule.spaced("200 millis"),
          times: 50,
          while: ({ _tag }) => _tag === "Unavailable" || _tag === "ProviderUnavailable"
        })
      )
      const confirms = Effect.all(Array.from({ length: 20 }, () => asked), { concurrency: "unbounded" })
      const [answers, confirmed] = yield* Effect.all([copies, confirms], { concurrency: "unbounded" })
      yield* sandbox.forwardTo(base)
      assert.deepStrictEqual(new Set(answers.map(({ status }) => status)), new Set([200]))
      assert.deepStrictEqual(new Set(confirmed.map(({ status }) => status)), new Set(["succeeded"]))
      const events = yield* owner(`SELECT event_id FROM payments.webhook_inbox WHERE payment_id = $1`, [payment.id])
      const commands = yield* owner(
        `SELECT id FROM queue.payment_commands WHERE id LIKE $1 || ':%' AND id NOT LIKE '%:created'`,
        [payment.id]
      )
      assert.deepStrictEqual([events.length, commands.length], [1, 1])
      assert.strictEqual(yield* transfersOf(payment.id), 1)
      assert.strictEqual(yield* balanceOf(user), 700)
    }))

  it.effect("answers a forged, stale or unsigned event with 400 and keeps nothing of it", () =>
    Effect.gen(function*() {
      const user = yield* newId(UserId)
      const payment = yield* charge(user)
      const body = JSON.stringify({
        id: "evt_forged",
        type: "charge.succeeded",
        livemode: false,
        data: { charge: { id: payment.providerReference, reference: payment.id } }
      })
      const before = yield* inboxSize
      const now = Math.floor(Date.now() / 1_000)
      const answers = [
        yield* deliver(body, `t=${now},v1=${"0".repeat(64)}`),
        yield* deliver(body, sign(`${body} `)),
        yield* deliver(body, sign(body, now - 301)),
        yield* deliver(body, ""),
        yield* deliver("not json", sign("not json"))
      ]
      assert.deepStrictEqual(answers.map(({ status }) => status), [400, 400, 400, 400, 400])
      assert.deepStrictEqual(answers.map(({ code }) => code), [
        "WebhookForged",
        "WebhookForged",
        "WebhookForged",
        "WebhookForged",
        "InvalidRequest"
      ])
      assert.strictEqual(yield* inboxSize, before)
      // Even an event with the right signature is a reason to ask, and the provider says that nothing was paid.
      assert.strictEqual((yield* deliver(body, sign(body))).status, 200)
      assert.strictEqual(yield* inboxSize, Number(before) + 1)
      assert.strictEqual((yield* confirm(user, payment.id)).status, "requires_action")
      assert.strictEqual(yield* balanceOf(user), 0)
    }))

  it.effect("turns away whoever forges more than 60 events a minute, and still takes the provider's own", () =>
    Effect.gen(function*() {
      const from = "198.51.100.7"
      const forged = yield* Effect.all(Array.from({ length: 61 }, () => deliver("{}", "t=1,v1=00", { from })), {
        concurrency: 8
      })
      const count = (status: number) => forged.filter((answer) => answer.status === status).length
      assert.deepStrictEqual([count(400), count(429)], [60, 1])
      const body = JSON.stringify({
        id: "evt_same_address",
        type: "charge.failed",
        livemode: false,
        data: { charge: { id: "ch_of_somebody_else", reference: "not a payment of ours" } }
      })
      assert.strictEqual((yield* deliver(body, sign(body), { from })).status, 200)
      assert.strictEqual((yield* deliver("{}", "t=1,v1=00", { from: "198.51.100.8" })).status, 400)
      // Text columns take no NUL: an event with one is malformed, signature or not, and not a fault of ours.
      const withNul = body.replace("evt_same_address", "evt\\u0000")
      assert.strictEqual((yield* deliver(withNul, sign(withNul), { from })).status, 400)
    }))

  it.effect("answers 404 for a provider that is not configured", () =>
    Effect.gen(function*() {
      const answers = [
        yield* deliver("{}", sign("{}"), { provider: "stripe" }),
        yield* deliver("{}", sign("{}"), { provider: "paystack" })
      ]
      assert.deepStrictEqual(answers.map(({ code, status }) => [status, code]), [[404, "NotFound"], [404, "NotFound"]])
    }))

  it.effect("answers an event whose body does not come before the provider gives up, and not as a request that ended", () =>
    Effect.gen(function*() {
      const { base } = yield* Hooks
      const answer = yield* Effect.callback<string>((resume) => {
        let text = ""
        const socket = connect(Number(new URL(base).port), "127.0.0.1", () =>
          socket.write(
            "POST /api/webhooks/sandbox HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
              + "content-length: 1000\r\n\r\n{"
          ))
        socket.on("data", (data) => void (text += data.toString())).on("error", () => {})
        socket.on("close", () => resume(Effect.succeed(text)))
      })
      // Node's own limit would say 408, after fifteen seconds.
      assert.match(answer, /^HTTP\/1\.1 503 /)
    }))
})
