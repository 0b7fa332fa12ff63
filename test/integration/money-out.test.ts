import { assert, layer } from "@effect/vitest"
import { Effect, Predicate } from "effect"
import { randomUUID } from "node:crypto"
import { ApiTest, countOf, eventually, give, type Member, owner, pay, register, send } from "../layers/ApiTest.ts"

const bank = (accountNumber: string) => ({
  type: "bank",
  country: "NG",
  bankCode: "058",
  accountNumber,
  accountName: "Ada Example"
})

const post = (path: string, { token }: Member, body: object, key: string = randomUUID()) =>
  send({ method: "POST", path, token, body, key })
const get = (path: string, { token }: Member) => send({ method: "GET", path, token })

const wallet = (member: Member) =>
  Effect.map(get("/api/wallet", member), ({ json }) => {
    const [one] = Array.isArray(json["wallets"]) ? json["wallets"] : []
    return Predicate.isObject(one) ? [one["balance"], one["held"]] : [0, 0]
  })

const charged = Effect.fnUntraced(function*(member: Member, amount: number) {
  const { json } = yield* post("/api/payment/charge", member, { amount, currency: "NGN" })
  const next = json["nextAction"]
  yield* pay(Predicate.isObject(next) ? String(next["url"]) : "")
  yield* eventually(
    get(`/api/payment/${String(json["id"])}`, member),
    (payment) => payment.json["status"] === "succeeded"
  )
  return String(json["id"])
})

const audited = (key: string) => countOf(`SELECT count(*)::int FROM wallet.transfers WHERE key = '${key}'`)

layer(ApiTest.layer(), { timeout: "60 seconds", excludeTestServices: true })("money out", (it) => {
  it.effect("refunds a payment whole or in parts, and never more than was paid", () =>
    Effect.gen(function*() {
      const member = yield* register()
      const payment = yield* charged(member, 1_000)
      const part = yield* post(`/api/payment/${payment}/refunds`, member, { amount: 400, reason: "one too many" })
      assert.strictEqual(part.status, 201, part.text)
      const { amount, currency, paymentId, reason, status } = part.json
      assert.deepStrictEqual([amount, currency, paymentId, reason, status], [
        400,
        "NGN",
        payment,
        "one too many",
        "succeeded"
      ])
      assert.strictEqual(yield* audited(`refund:${String(part.json["id"])}`), 1)
      const over = yield* post(`/api/payment/${payment}/refunds`, member, { amount: 601 })
      assert.deepStrictEqual([over.status, over.json["code"], over.json["refundable"]], [
        422,
        "RefundExceedsPayment",
        600
      ])
      const rest = yield* post(`/api/payment/${payment}/refunds`, member, {})
      assert.deepStrictEqual([rest.status, rest.json["amount"]], [201, 600])
      const none = yield* post(`/api/payment/${payment}/refunds`, member, {})
      assert.deepStrictEqual([none.status, none.json["refundable"]], [422, 0])
      assert.strictEqual((yield* get(`/api/payment/${payment}`, member)).json["amountRefunded"], 1_000)
      assert.deepStrictEqual(yield* wallet(member), [0, 0])
    }))

  it.effect("gives back no more than was paid when twenty refunds race", () =>
    Effect.gen(function*() {
      const member = yield* register()
      yield* give(member.id, 5_000)
      const payment = yield* charged(member, 1_000)
      const answers = yield* Effect.all(
        Array.from({ length: 20 }, () => post(`/api/payment/${payment}/refunds`, member, { amount: 100 })),
        { concurrency: "unbounded" }
      )
      const counts = (status: number) => answers.filter((answer) => answer.status === status).length
      assert.deepStrictEqual([counts(201), counts(422)], [10, 10])
      assert.deepStrictEqual(yield* wallet(member), [5_000, 0])
    }))

  it.effect("refuses a refund that the wallet does not cover, one of somebody else's payment, and one of an unpaid one", () =>
    Effect.gen(function*() {
      const [member, other] = yield* Effect.all([register(), register()])
      const payment = yield* charged(member, 1_000)
      yield* post("/api/wallet/transfers", member, { toUserId: other.id, amount: 900, currency: "NGN" })
      const poor = yield* post(`/api/payment/${payment}/refunds`, member, { amount: 500 })
      assert.deepStrictEqual([poor.status, poor.json["code"], poor.json["available"]], [422, "InsufficientFunds", 100])
      assert.strictEqual((yield* get(`/api/payment/${payment}`, member)).json["amountRefunded"], 0)
      assert.strictEqual((yield* post(`/api/payment/${payment}/refunds`, other, {})).status, 404)
      const { json } = yield* post("/api/payment/charge", member, { amount: 700, currency: "NGN" })
      const early = yield* post(`/api/payment/${String(json["id"])}/refunds`, member, {})
      assert.deepStrictEqual([early.status, early.json["code"]], [409, "PaymentNotRefundable"])
    }))

  it.effect("pays out once per key, shows of the destination its last four characters, and keeps the rest sealed", () =>
    Effect.gen(function*() {
      const member = yield* register()
      yield* give(member.id, 1_000)
      const key = randomUUID()
      const body = { amount: 600, currency: "NGN", destination: bank("0123456789") }
      const answers = yield* Effect.all(
        Array.from({ length: 10 }, () => post("/api/payment/payouts", member, body, key)),
        {
          concurrency: "unbounded"
        }
      )
      const made = answers.filter(({ status }) => status === 201)
      assert.isTrue(made.length > 0 && answers.every(({ status }) => status === 201 || status === 409))
      const [first] = made
      assert.deepStrictEqual(first?.json["destination"], { type: "bank", last4: "6789" })
      assert.strictEqual(first?.json["status"], "paid")
      assert.strictEqual(new Set(made.map(({ json }) => json["id"])).size, 1)
      assert.deepStrictEqual(yield* wallet(member), [400, 0])
      assert.strictEqual(yield* audited(`payout:${String(first?.json["id"])}`), 1)
      const stored = yield* owner(
        `SELECT encode(destination, 'escape') FROM payments.payouts WHERE user_id = '${member.id}'`
      )
      assert.notInclude(String(stored[0]?.[0]), "0123456789")
    }))

  it.effect("releases the money of a payout that fails, and of one that the wallet cannot cover leaves nothing to see", () =>
    Effect.gen(function*() {
      const member = yield* register()
      yield* give(member.id, 1_000)
      const failed = yield* post("/api/payment/payouts", member, {
        amount: 300,
        currency: "NGN",
        destination: bank("99990001")
      })
      assert.deepStrictEqual([failed.status, failed.json["status"]], [201, "failed"])
      assert.isString(failed.json["failureReason"])
      assert.deepStrictEqual(yield* wallet(member), [1_000, 0])
      const poor = yield* post("/api/payment/payouts", member, {
        amount: 1_001,
        currency: "NGN",
        destination: bank("99990003")
      })
      assert.deepStrictEqual([poor.status, poor.json["code"]], [422, "InsufficientFunds"])
      const { json } = yield* get("/api/payment/payouts", member)
      assert.strictEqual(Array.isArray(json["items"]) ? json["items"].length : 0, 1)
    }))

  it.effect("waits for a person above the limit: approved it is paid, rejected or canceled its money is free, decided once", () =>
    Effect.gen(function*() {
      const [admin, member] = yield* Effect.all([register("admin"), register()])
      yield* give(member.id, 90_000_000)
      yield* give(admin.id, 20_000_000)
      const large = { amount: 20_000_000, currency: "NGN", destination: bank("0123456789") }
      const asked = yield* Effect.forEach([1, 2, 3], () => post("/api/payment/payouts", member, large))
      assert.deepStrictEqual(asked.map(({ json }) => json["status"]), Array(3).fill("pending_approval"))
      assert.deepStrictEqual(yield* wallet(member), [90_000_000, 60_000_000])
      const [paid, rejected, canceled] = asked.map(({ json }) => String(json["id"]))
      assert.include((yield* get("/api/admin/payouts", admin)).text, String(paid))
      assert.strictEqual((yield* get("/api/admin/payouts", member)).status, 403)
      const decide = (id: string | undefined, how: string) =>
        post(`/api/admin/payouts/${id}/${how}`, admin, { reason: "looked at by hand" })
      const raced = yield* Effect.all(
        [decide(paid, "approve"), decide(paid, "approve"), post(`/api/payment/payouts/${paid}/cancel`, admin, {})],
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(raced.map(({ status }) => status).sort(), [200, 404, 409])
      yield* eventually(get(`/api/payment/payouts/${paid}`, member), ({ json }) => json["status"] === "paid")
      assert.strictEqual((yield* decide(rejected, "reject")).json["failureReason"], "looked at by hand")
      assert.strictEqual(
        (yield* send({ method: "POST", path: `/api/payment/payouts/${canceled}/cancel`, token: member.token })).status,
        200
      )
      yield* eventually(wallet(member), ([balance, held]) => balance === 70_000_000 && held === 0)
      const own = yield* post("/api/payment/payouts", admin, large)
      const refused = yield* decide(String(own.json["id"]), "approve")
      assert.deepStrictEqual([refused.status, refused.json["code"]], [403, "OwnPayout"])
      const tooMuch = yield* post("/api/payment/payouts", member, { ...large, amount: 90_000_000 })
      assert.deepStrictEqual([tooMuch.status, tooMuch.json["code"]], [422, "PayoutLimitReached"])
    }))

  it.effect("settles a payout that the provider pays later, also when nobody is told of it", () =>
    Effect.gen(function*() {
      const member = yield* register()
      yield* give(member.id, 1_000)
      const { json } = yield* post("/api/payment/payouts", member, {
        amount: 300,
        currency: "NGN",
        destination: bank("99990002")
      })
      assert.strictEqual(json["status"], "processing")
      assert.deepStrictEqual(yield* wallet(member), [1_000, 300])
      const other = yield* register()
      assert.strictEqual((yield* get(`/api/payment/payouts/${String(json["id"])}`, other)).status, 404)
      assert.strictEqual(
        yield* countOf(`SELECT count(*)::int FROM queue.payment_commands WHERE id LIKE '${String(json["id"])}:%'`),
        1
      )
    }))
})
