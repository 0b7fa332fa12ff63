import { PgConnection } from "@effect/sql-pg"
import { assert, layer } from "@effect/vitest"
import { Context, Effect, Layer, Logger, Schedule, Schema } from "effect"
import { HttpApi, HttpApiBuilder } from "effect/http-api"
import { createHmac } from "node:crypto"
import { OperationId, PaymentId, SessionId, UserId } from "../../src/domain/Ids.ts"
import { Amount } from "../../src/domain/Money.ts"
import { MoneyRequest } from "../../src/domain/MoneyRequest.ts"
import type { PaymentView } from "../../src/domain/Payments.ts"
import { CurrentUser } from "../../src/domain/Principal.ts"
import { clearingOf, walletOf } from "../../src/domain/Wallet.ts"
import { AdmissionLive } from "../../src/http/middleware/AdmissionLive.ts"
import { WebhooksApi } from "../../src/http/PaymentsApi.ts"
import { WebhooksHandlers } from "../../src/http/WebhooksHandlers.ts"
import { serveHttp } from "../../src/layers/HttpServer.ts"
import { PaymentsLive } from "../../src/layers/PaymentsLive.ts"
import { WalletLive } from "../../src/layers/WalletLive.ts"
import { Health } from "../../src/services/Health.ts"
import { Ledger } from "../../src/services/Ledger.ts"
import { newId } from "../../src/services/NewId.ts"
import { Payments } from "../../src/services/Payments.ts"
import { Users } from "../../src/services/Users.ts"
import { PgTest } from "../layers/PgTest.ts"
import { addressOf, Sandbox, sandboxSecrets } from "../layers/sandbox.ts"
import { testConfig } from "../layers/TestConfig.ts"

const config = Layer.unwrap(Effect.map(Sandbox, ({ base }) =>
  testConfig({
    ...sandboxSecrets,
    SANDBOX_API_BASE: base,
    RETURN_URL_ORIGINS: "https://app.example.com",
    CURRENCIES: "NGN,USD"
  })))

const Money = PaymentsLive.pipe(
  Layer.provideMerge(WalletLive),
  Layer.provide([Health.layer, Layer.mock(Users, {})]),
  Layer.provide(config)
)

/** The webhook routes on a port, so that the sandbox's own deliveries reach them over HTTP. */
class Hooks extends Context.Service<Hooks, { readonly base: string }>()("midnight/test/Hooks") {
  static readonly layer = Layer.effect(
    Hooks,
    Effect.gen(function*() {
      const api = HttpApi.make("midnight").add(WebhooksApi)
      const routes = HttpApiBuilder.layer(api).pipe(Layer.provide(WebhooksHandlers), Layer.provide(AdmissionLive()))
      const base = yield* addressOf(serveHttp(routes, {
        port: 0,
        host: "127.0.0.1",
        portVariable: "PORT",
        corsOrigins: [],
        grace: 0,
        drain: 0
      }))
      yield* Effect.flatMap(Sandbox, (sandbox) => sandbox.forwardTo(base))
      return { base }
    })
  )
}

const Ground = Hooks.layer.pipe(
  Layer.provideMerge(Money),
  Layer.provideMerge(Sandbox.layer),
  Layer.provideMerge(PgTest.layer),
  Layer.provide(Logger.layer([]))
)

const charge = Effect.fnUntraced(function*(userId: UserId, amount = 2_500, operationId?: OperationId) {
  const payments = yield* Payments
  return yield* payments.charge({ amount: Amount.make(BigInt(amount)), currency: "NGN" }).pipe(
    Effect.provideService(MoneyRequest, { userId, operationId: operationId ?? (yield* newId(OperationId)) })
  )
})

const as = (userId: UserId) =>
  Effect.provideService(CurrentUser, {
    userId,
    sessionId: SessionId.make("0198c0de-0000-7000-8000-000000000001"),
    roles: ["member"]
  })
const confirm = (userId: UserId, id: PaymentId) => as(userId)(Effect.flatMap(Payments, (p) => p.confirm(id)))
const find = (userId: UserId, id: PaymentId) => as(userId)(Effect.flatMap(Payments, (p) => p.find(id)))

const checkout = (payment: PaymentView, outcome: string) =>
  Effect.promise(() =>
    fetch(payment.nextAction?.url ?? "", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ outcome })
    }).then((answer) => answer.status)
  )

const balanceOf = (userId: UserId) =>
  Effect.flatMap(Ledger, (ledger) => Effect.map(ledger.balance(walletOf(userId), "NGN"), (b) => Number(b.balance)))

const owner = Effect.fnUntraced(function*(statement: string, values: ReadonlyArray<unknown> = []) {
  const { ownerUrl } = yield* PgTest
  const connection = yield* PgConnection.make({ url: ownerUrl })
  return yield* connection.queryValues(statement, values)
}, Effect.scoped)

const transfersOf = (id: PaymentId) =>
  Effect.map(
    owner(`SELECT count(*)::int FROM wallet.transfers WHERE key = $1`, [`charge:${id}`]),
    (rows) => rows[0]?.[0]
  )
const inboxSize = Effect.map(owner(`SELECT count(*)::int FROM payments.webhook_inbox`), (rows) => rows[0]?.[0])

const until = (userId: UserId, id: PaymentId, status: string) =>
  find(userId, id).pipe(
    Effect.repeat({ schedule: Schedule.spaced("20 millis"), until: (payment) => payment.status === status }),
    Effect.timeout("20 seconds")
  )

const sign = (body: string, seconds = Math.floor(Date.now() / 1_000)) =>
  `t=${seconds},v1=${
    createHmac("sha256", sandboxSecrets.SANDBOX_WEBHOOK_SECRET).update(`${seconds}.${body}`).digest("hex")
  }`

const deliver = Effect.fnUntraced(function*(body: string, signature: string, provider = "sandbox") {
  const { base } = yield* Hooks
  return yield* Effect.promise(() =>
    fetch(`${base}/api/webhooks/${provider}`, {
      method: "POST",
      body,
      headers: { "content-type": "application/json", "sandbox-signature": signature }
    }).then(async (answer) => ({ status: answer.status, code: Code(await answer.json()).code }))
  )
})
const Code = Schema.decodeUnknownSync(Schema.Struct({ code: Schema.optionalKey(Schema.String) }))

layer(Ground, { timeout: "60 seconds", excludeTestServices: true })("payments", (it) => {
  it.effect("credits a charge once when its checkout is paid and the provider's own webhook arrives", () =>
    Effect.gen(function*() {
      const user = yield* newId(UserId)
      const payment = yield* charge(user)
      assert.deepStrictEqual([payment.status, payment.nextAction?.type], ["requires_action", "redirect"])
      assert.strictEqual(yield* checkout(payment, "succeed"), 200)
      const paid = yield* until(user, payment.id, "succeeded")
      assert.isUndefined(paid.nextAction)
      assert.strictEqual(yield* balanceOf(user), 2_500)
      assert.strictEqual(yield* transfersOf(payment.id), 1)
    }))

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
        Effect.timeout("10 seconds")
      )
      const copy = deliver(event?.body ?? "", String(event?.headers["sandbox-signature"]))
      const copies = Effect.all(Array.from({ length: 20 }, () => copy), { concurrency: "unbounded" })
      const confirms = Effect.all(Array.from({ length: 20 }, () => confirm(user, payment.id)), {
        concurrency: "unbounded"
      })
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

  it.effect("answers 404 for a provider that is not configured", () =>
    Effect.gen(function*() {
      const answers = [yield* deliver("{}", sign("{}"), "stripe"), yield* deliver("{}", sign("{}"), "paystack")]
      assert.deepStrictEqual(answers.map(({ code, status }) => [status, code]), [[404, "NotFound"], [404, "NotFound"]])
    }))

  it.effect("flags a charge whose amount is not what was asked, and never credits it", () =>
    Effect.gen(function*() {
      const user = yield* newId(UserId)
      const payment = yield* charge(user)
      yield* owner(`UPDATE payments.payments SET amount = amount + 1 WHERE id = $1`, [payment.id])
      yield* checkout(payment, "succeed")
      const answers = yield* Effect.all([confirm(user, payment.id), confirm(user, payment.id)], { concurrency: 2 })
      assert.deepStrictEqual(answers.map(({ status }) => status), ["requires_action", "requires_action"])
      const rows = yield* owner(`SELECT flag, status, transfer_id FROM payments.payments WHERE id = $1`, [payment.id])
      assert.deepStrictEqual([...rows[0] ?? []], ["amount_mismatch", "requires_action", null])
      assert.strictEqual(yield* transfersOf(payment.id), 0)
      assert.strictEqual(yield* balanceOf(user), 0)
    }))

  it.effect("ends failed or canceled as the payer decides, without a posting", () =>
    Effect.gen(function*() {
      const user = yield* newId(UserId)
      const declined = yield* charge(user)
      const abandoned = yield* charge(user)
      yield* checkout(declined, "fail")
      yield* checkout(abandoned, "abandon")
      yield* until(user, declined.id, "failed")
      yield* until(user, abandoned.id, "canceled")
      assert.strictEqual(yield* balanceOf(user), 0)
    }))

  it.effect("finds the first attempt's payment and charge when a charge is repeated", () =>
    Effect.gen(function*() {
      const user = yield* newId(UserId)
      const operation = yield* newId(OperationId)
      const attempts = yield* Effect.all(Array.from({ length: 5 }, () => charge(user, 900, operation)), {
        concurrency: "unbounded"
      })
      assert.strictEqual(new Set(attempts.map(({ id, providerReference }) => `${id} ${providerReference}`)).size, 1)
      // As after a crash between the provider's answer and ours being written down.
      yield* owner(
        `UPDATE payments.payments SET provider_reference = NULL, next_action_url = NULL, status = 'processing'
          WHERE id = $1`,
        [operation]
      )
      const again = yield* charge(user, 900, operation)
      assert.deepStrictEqual(again, attempts[0])
    }))

  it.effect("credits after a crash between the posting and the payment's row", () =>
    Effect.gen(function*() {
      const user = yield* newId(UserId)
      const payment = yield* charge(user, 450)
      yield* checkout(payment, "succeed")
      yield* until(user, payment.id, "succeeded")
      yield* owner(
        `UPDATE payments.payments SET status = 'requires_action', transfer_id = NULL WHERE id = $1`,
        [payment.id]
      )
      assert.strictEqual((yield* confirm(user, payment.id)).status, "succeeded")
      assert.strictEqual(yield* balanceOf(user), 450)
    }))

  it.effect("refuses currencies, return URLs and providers that the deployment does not take, before any row", () =>
    Effect.gen(function*() {
      const payments = yield* Payments
      const user = yield* newId(UserId)
      const refused = Effect.fnUntraced(function*(more: object) {
        const request = { amount: Amount.make(100n), currency: "NGN" as const, ...more }
        const error = yield* Effect.flip(payments.charge(request)).pipe(
          Effect.provideService(MoneyRequest, { userId: user, operationId: yield* newId(OperationId) })
        )
        return error._tag
      })
      assert.deepStrictEqual([
        yield* refused({ currency: "EUR" }),
        yield* refused({ returnUrl: "https://evil.example/" }),
        yield* refused({ provider: "stripe" })
      ], ["UnsupportedCurrency", "ReturnUrlNotAllowed", "ProviderNotConfigured"])
      const page = yield* as(user)(payments.list({ cursor: undefined, limit: 20 }))
      assert.deepStrictEqual(page, { items: [], nextCursor: null })
    }))

  it.effect("shows a payment to its owner alone, and lists them newest first in pages", () =>
    Effect.gen(function*() {
      const payments = yield* Payments
      const user = yield* newId(UserId)
      const stranger = yield* newId(UserId)
      const ids: Array<string> = []
      for (const amount of [1, 2, 3]) ids.unshift((yield* charge(user, amount)).id)
      const [one] = ids
      const strange = yield* Effect.flip(find(stranger, PaymentId.make(one ?? "")))
      const absent = yield* Effect.flip(find(stranger, yield* newId(PaymentId)))
      assert.deepStrictEqual([strange._tag, strange.detail], [absent._tag, absent.detail])
      assert.strictEqual((yield* Effect.flip(confirm(stranger, PaymentId.make(one ?? ""))))._tag, "NotFound")
      const first = yield* as(user)(payments.list({ cursor: undefined, limit: 2 }))
      const rest = yield* as(user)(payments.list({ cursor: first.nextCursor ?? "", limit: 2 }))
      assert.deepStrictEqual([...first.items, ...rest.items].map(({ id }) => String(id)), ids)
      assert.strictEqual(rest.nextCursor, null)
      assert.strictEqual(
        (yield* Effect.flip(as(user)(payments.list({ cursor: "!", limit: 2 }))))._tag,
        "InvalidRequest"
      )
    }))

  it.effect("keeps what was asked out of the server's reach", () =>
    Effect.gen(function*() {
      const pg = yield* PgTest
      const refused = Effect.fnUntraced(function*(statement: string) {
        const connection = yield* PgConnection.make({ url: pg.urlFor("payments") })
        return (yield* Effect.flip(connection.query(statement, []))).message
      }, Effect.scoped)
      for (
        const statement of [
          "UPDATE payments.payments SET amount = 1",
          "UPDATE payments.payments SET user_id = gen_random_uuid()",
          "DELETE FROM payments.payments",
          "DELETE FROM payments.webhook_inbox",
          "UPDATE payments.webhook_inbox SET type = 'x'",
          "SELECT * FROM wallet.accounts"
        ]
      ) assert.isString(yield* refused(statement))
    }))

  it.effect("leaves the books balanced: what came in stands against the provider's clearing account", () =>
    Effect.gen(function*() {
      const ledger = yield* Ledger
      const { balance } = yield* ledger.balance(clearingOf("sandbox"), "NGN")
      const rows = yield* owner(
        `SELECT coalesce(sum(amount), 0)::text FROM payments.payments WHERE status = 'succeeded'`
      )
      assert.strictEqual(String(-balance), rows[0]?.[0])
    }))
})
