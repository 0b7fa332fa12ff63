import { assert, layer } from "@effect/vitest"
import { Effect, Option, Redacted } from "effect"
import { randomUUID } from "node:crypto"
import { Amount } from "../../src/domain/Money.ts"
import { between, clearingOf, walletOf } from "../../src/domain/Wallet.ts"
import { Ledger } from "../../src/services/Ledger.ts"
import { WebhookEndpoints } from "../../src/services/WebhookEndpoints.ts"
import { signedHeaders } from "../../src/services/WebhookSignature.ts"
import { cancel, fails, paid, payout, refund } from "../layers/MoneyOut.ts"
import { as, charge, checkout, owner, PaymentsBench } from "../layers/PaymentsBench.ts"
import { receiver } from "../layers/Receiver.ts"
import { anybody, asRole } from "../layers/WebhooksBench.ts"

const listening = Effect.fnUntraced(function*(userId: Effect.Success<typeof anybody>) {
  const hook = yield* receiver
  const { create } = yield* WebhookEndpoints
  const { secret } = yield* create({ url: hook.url }).pipe(as(userId))
  hook.knows(secret)
  return hook
})

/** A submission that is being verified, with its upload. */
const submitted = Effect.fnUntraced(function*(user: Effect.Success<typeof anybody>) {
  const [submission, video] = [randomUUID(), randomUUID()]
  yield* asRole(
    "video_api",
    `INSERT INTO video.uploads (id, user_id, bytes, content_type, expires_at)
     VALUES ($1, $2, 1, 'video/mp4', now() + interval '1 hour')`,
    [video, user]
  )
  yield* asRole(
    "video_api",
    `INSERT INTO video.submissions (id, user_id, video_id, status, rules, request_id)
     VALUES ($1, $2, $3, 'queued', '{}', 'r')`,
    [submission, user, video]
  )
  yield* owner(`UPDATE video.submissions SET status = 'verifying' WHERE id = $1`, [submission])
  return { submission, video }
})

const roles = ["identity", "wallet", "payments", "rewards", "video_api", "video_worker", "webhooks"]

layer(PaymentsBench, { timeout: "60 seconds", excludeTestServices: true })("events", (it) => {
  it.effect("are signed as Standard Webhooks has it", () =>
    Effect.sync(() => {
      const headers = signedHeaders([Redacted.make("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")], {
        id: "msg_p5jXN8AQM9LWM0D4loKWxJek",
        seconds: 1_614_265_330,
        body: "{\"test\": 2432232314}"
      })
      assert.strictEqual(headers["webhook-signature"], "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
    }))

  it.effect("tell a real receiver of payment, refund, payout and transfer, verified by the standard's own library", () =>
    Effect.gen(function*() {
      const [user, friend] = [yield* anybody, yield* anybody]
      const hook = yield* listening(user)
      const payment = yield* paid(user, 20_000)
      yield* refund(user, payment.id, 500)
      yield* payout(user, 1_000)
      yield* payout(user, 1_000, fails)
      const ledger = yield* Ledger
      yield* ledger.post(between({
        key: `charge:${randomUUID()}`,
        kind: "charge",
        from: clearingOf("sandbox"),
        to: walletOf(friend),
        amount: Amount.make(700n),
        currency: "NGN"
      }))
      const sent = yield* ledger.post(between({
        key: `transfer:${randomUUID()}`,
        kind: "transfer",
        from: walletOf(friend),
        to: walletOf(user),
        amount: Amount.make(300n),
        currency: "NGN",
        memo: Option.some("lunch")
      }))
      const heard = yield* hook.heard(
        "payment.succeeded",
        "refund.succeeded",
        "payout.paid",
        "payout.failed",
        "transfer.received"
      )
      const [ofPayment, ofRefund, ofPayout, ofFailure, ofTransfer] = heard.map(({ data }) => data)
      assert.deepInclude(ofPayment, { id: payment.id, userId: user, amount: 20_000, currency: "NGN" })
      assert.strictEqual(heard[0]?.id, `evt_payment_succeeded_${payment.id}`)
      assert.deepInclude(ofRefund, { paymentId: payment.id, amount: 500, status: "succeeded" })
      assert.deepInclude(ofPayout, { amount: 1_000, status: "paid", destination: { type: "bank", last4: "1234" } })
      assert.deepInclude(ofFailure, { amount: 1_000, status: "failed" })
      assert.deepInclude(ofTransfer, {
        id: sent.id,
        fromUserId: friend,
        toUserId: user,
        amount: 300,
        currency: "NGN",
        memo: "lunch"
      })
      assert.strictEqual(hook.refused(), 0)
    }).pipe(Effect.scoped))

  it.effect("come of a reward's payment and of a verdict, whoever writes it", () =>
    Effect.gen(function*() {
      const user = yield* anybody
      const hook = yield* listening(user)
      const campaign = randomUUID()
      yield* asRole(
        "rewards",
        `INSERT INTO rewards.campaigns (id, sponsor_id, title, brief, reward_amount, currency, slots, per_member, rules,
           created_at) VALUES ($1, $2, 't', 'b', 50, 'NGN', 1, 1, '{}', now())`,
        [campaign, randomUUID()]
      )
      const { submission, video } = yield* submitted(user)
      yield* asRole(
        "rewards",
        `INSERT INTO rewards.slots (submission_id, campaign_id, user_id, reward_amount, currency, status)
         VALUES ($1, $2, $3, 50, 'NGN', 'reserved')`,
        [submission, campaign, user]
      )
      yield* asRole(
        "rewards",
        `UPDATE rewards.slots SET status = 'paid', transfer_id = gen_random_uuid() WHERE submission_id = $1`,
        [submission]
      )
      yield* asRole(
        "video_worker",
        `UPDATE video.submissions SET status = 'needs_review', decided_by = 'worker' WHERE id = $1`,
        [submission]
      )
      const [reward, review] = yield* hook.heard("reward.paid", "submission.needs_review")
      assert.deepInclude(reward?.data, { submissionId: submission, reward: { amount: 50, currency: "NGN" } })
      assert.deepInclude(review?.data, { id: submission, videoId: video, status: "needs_review" })
    }).pipe(Effect.scoped))

  it.effect("come of what failed, and of what was called off", () =>
    Effect.gen(function*() {
      const user = yield* anybody
      const hook = yield* listening(user)
      const [declined, abandoned] = [yield* charge(user), yield* charge(user)]
      yield* checkout(declined, "fail")
      yield* checkout(abandoned, "abandon")
      const payment = yield* paid(user, 30_000)
      const back = yield* refund(user, payment.id, 500)
      yield* hook.heard("refund.succeeded")
      // The bank returned it after it was done, as a provider may say days later.
      for (const change of ["status = 'failed', settled = false", "settled = true"]) {
        yield* asRole("payments", `UPDATE payments.outgoing SET ${change} WHERE id = $1`, [back.id])
      }
      // So large that it waits for an administrator, and can be called off.
      const large = yield* payout(user, 20_000)
      yield* cancel(user, large.id)
      const heard = yield* hook.heard("payment.failed", "payment.canceled", "refund.failed", "payout.canceled")
      const [ofDeclined, ofAbandoned, ofRefund, ofPayout] = heard.map(({ data }) => data)
      assert.deepInclude(ofDeclined, { id: declined.id, userId: user, status: "failed" })
      assert.deepInclude(ofAbandoned, { id: abandoned.id, userId: user, status: "canceled" })
      assert.deepInclude(ofRefund, { id: back.id, paymentId: payment.id, amount: 500, status: "failed" })
      assert.deepInclude(ofPayout, { id: large.id, amount: 20_000, status: "canceled" })
    }).pipe(Effect.scoped))

  for (const verdict of ["approved", "rejected"]) {
    it.effect(`come of a submission that is ${verdict}`, () =>
      Effect.gen(function*() {
        const user = yield* anybody
        const hook = yield* listening(user)
        const { submission, video } = yield* submitted(user)
        yield* asRole(
          "video_worker",
          `UPDATE video.submissions SET status = $2, verdict = $2, decided_by = 'worker', decided_at = now() WHERE id = $1`,
          [submission, verdict]
        )
        const [heard] = yield* hook.heard(`submission.${verdict}`)
        assert.strictEqual(heard?.id, `evt_submission_${verdict}_${submission}`)
        assert.deepInclude(heard?.data, { id: submission, userId: user, videoId: video, status: verdict })
      }).pipe(Effect.scoped))
  }

  it.effect("cannot be made by any process's role, only by the change that they tell of", () =>
    Effect.gen(function*() {
      const id = randomUUID()
      const forged = [
        `INSERT INTO webhooks.events (id, type, user_id, body)
         VALUES ('evt_payment_succeeded_${id}', 'payment.succeeded', '${id}', '{}')`,
        `SELECT webhooks.publish('payment.succeeded', '${id}', '${id}', '{}')`,
        `UPDATE webhooks.events SET body = '{}'`
      ]
      for (const role of roles) {
        for (const statement of forged) {
          const refused = yield* Effect.flip(asRole(role, statement))
          assert.match(JSON.stringify(refused.reason.cause), /permission denied|42501/, `${role}: ${statement}`)
        }
      }
      for (const role of roles.filter((name) => name !== "webhooks")) {
        const refused = yield* Effect.flip(asRole(role, "SELECT secret FROM webhooks.endpoints"))
        assert.match(JSON.stringify(refused.reason.cause), /permission denied|42501/, role)
      }
    }))

  it.effect("are not written down where nobody listens", () =>
    Effect.gen(function*() {
      const user = yield* anybody
      yield* paid(user)
      const rows = yield* owner("SELECT count(*)::int FROM webhooks.events WHERE user_id = $1", [user])
      assert.deepStrictEqual(rows, [[0]])
    }))
})
