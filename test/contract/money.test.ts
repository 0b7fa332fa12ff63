import { assert, layer } from "@effect/vitest"
import { Effect, Predicate } from "effect"
import { randomUUID } from "node:crypto"
import { type Answer, type Call, countOf, give, type Member, register, send } from "../layers/ApiTest.ts"
import { contracts } from "./AllContracts.ts"
import { Cast, Ground } from "./RouteContract.ts"

const all = Object.entries(contracts).map(([route, contract]) => ({
  route,
  method: route.split(" ")[0] ?? "",
  contract
}))
const keyed = all.flatMap(({ contract, method, route }) =>
  contract.counted === undefined ? [] : [{ route, counted: contract.counted, contract, method }]
)

const isProblem = (answer: Answer, status: number, code: string) => {
  assert.strictEqual(answer.status, status, answer.text)
  assert.deepInclude(answer.json, { status, code }, answer.text)
}
const replayed = (answer: Answer) => answer.headers.get("idempotency-replayed")

const withBody = (part: object) => (call: Call): Call => ({
  ...call,
  body: { ...(Predicate.isObject(call.body) ? call.body : {}), ...part }
})

const transfer = (from: Member, body: unknown) =>
  Effect.suspend(() =>
    send({ method: "POST", path: "/api/wallet/transfers", key: randomUUID(), token: from.token, body })
  )

const amountsThatAreNone = ["0", "-1", "0.1", "1e400", "-1e400", "9007199254740993", "1000000000001", "\"5\"", "null"]

layer(Ground, { timeout: "60 seconds", excludeTestServices: true })("routes that move money", (it) => {
  it("are those that keep an Idempotency-Key", () => {
    const promised = all.filter(({ contract }) => contract.keyed).map(({ route }) => route)
    assert.deepStrictEqual(keyed.map(({ route }) => route), promised)
  })

  for (const { contract, counted, method, route } of keyed) {
    it.effect(`${route} wants a key, and one that is a key`, () =>
      Effect.gen(function*() {
        const { key: _, ...call } = { method, ...(yield* contract.attempt) }
        const before = yield* countOf(counted)
        isProblem(yield* send(call), 400, "IdempotencyKeyInvalid")
        for (const key of ["", "with a space", "x".repeat(256), "\"\""]) {
          isProblem(yield* send({ ...call, key }), 400, "IdempotencyKeyInvalid")
        }
        assert.strictEqual(yield* countOf(counted), before)
      }))

    it.effect(`${route} answers a repetition as it answered first, and another body with 422`, () =>
      Effect.gen(function*() {
        const call = { method, ...(yield* contract.attempt) }
        const before = yield* countOf(counted)
        const first = yield* send(call)
        assert.deepStrictEqual([first.status, replayed(first)], [contract.status, null], first.text)
        const again = yield* send({ ...call, key: `"${call.key}"` })
        assert.deepStrictEqual([again.status, again.text, replayed(again)], [first.status, first.text, "true"])
        assert.strictEqual(again.headers.get("location"), first.headers.get("location"))
        assert.strictEqual(again.headers.get("content-type"), first.headers.get("content-type"))
        if (contract.other !== undefined) {
          isProblem(yield* send(withBody(contract.other)(call)), 422, "IdempotencyKeyReused")
        }
        assert.strictEqual((yield* countOf(counted)) - before, 1)
      }))

    it.effect(`${route} has one effect when 50 equal requests come at once`, () =>
      Effect.gen(function*() {
        const call = { method, ...(yield* contract.attempt) }
        const before = yield* countOf(counted)
        const answers = yield* Effect.all(Array.from({ length: 50 }, () => send(call)), { concurrency: "unbounded" })
        const good = answers.filter(({ status }) => status === contract.status)
        assert.isAtLeast(good.length, 1)
        assert.strictEqual(new Set(good.map(({ text }) => text)).size, 1)
        assert.strictEqual(good.filter((answer) => replayed(answer) === null).length, 1)
        for (const answer of answers.filter((answer) => !good.includes(answer))) {
          isProblem(answer, 409, "IdempotencyKeyInFlight")
        }
        assert.strictEqual((yield* countOf(counted)) - before, 1)
      }))
  }

  it.effect("leaves the key free when nothing was written", () =>
    Effect.gen(function*() {
      const { bob, sponsor } = yield* Cast
      const [key, path] = [randomUUID(), "/api/wallet/transfers"]
      const ask = (amount: number) =>
        send({ method: "POST", path, key, token: bob.token, body: { toUserId: sponsor.id, amount, currency: "USD" } })
      isProblem(yield* ask(100), 422, "InsufficientFunds")
      isProblem(yield* ask(200), 422, "InsufficientFunds")
      isProblem(yield* ask(0), 400, "InvalidRequest")
    }))

  it.effect("keeps a key to one user and one path", () =>
    Effect.gen(function*() {
      const { alice, bob, sponsor } = yield* Cast
      const key = randomUUID()
      const body = { toUserId: sponsor.id, amount: 5, currency: "NGN" }
      const path = "/api/wallet/transfers"
      const ofAlice = yield* send({ method: "POST", path, key, token: alice.token, body })
      const ofBob = yield* send({ method: "POST", path, key, token: bob.token, body })
      const charge = { amount: 5, currency: "NGN" }
      const elsewhere = yield* send({
        method: "POST",
        path: "/api/payment/charge",
        key,
        token: alice.token,
        body: charge
      })
      assert.deepStrictEqual([ofAlice.status, ofBob.status, elsewhere.status], [201, 201, 201])
      assert.notStrictEqual(ofAlice.json["id"], ofBob.json["id"])
    }))

  it.effect("lets exactly ten of twenty debits of 10 out of 100 succeed at once", () =>
    Effect.gen(function*() {
      const { bob } = yield* Cast
      const poor = yield* register()
      yield* give(poor.id, 100)
      const body = { toUserId: bob.id, amount: 10, currency: "NGN" }
      const debits = Array.from({ length: 20 }, () => transfer(poor, body))
      const answers = yield* Effect.all(debits, { concurrency: "unbounded" })
      const refused = answers.filter(({ status }) => status !== 201)
      assert.strictEqual(refused.length, 10)
      for (const answer of refused) {
        isProblem(answer, 422, "InsufficientFunds")
        assert.deepInclude(answer.json, { available: 0, currency: "NGN" })
      }
    }))

  it.effect("moves money both ways between two wallets at once without a refusal, and none is made or lost", () =>
    Effect.gen(function*() {
      const [one, two] = yield* Effect.all([register(), register()])
      for (const { id } of [one, two]) yield* give(id, 1_000)
      const both = [[one, two], [two, one]] as const
      const transfers = Array.from({ length: 32 }, (_, at) => both[at % 2] ?? both[0])
        .map(([from, to], at) => transfer(from, { toUserId: to.id, amount: at + 1, currency: "NGN" }))
      const answers = yield* Effect.all(transfers, { concurrency: "unbounded" })
      assert.deepStrictEqual(answers.filter(({ status }) => status !== 201), [])
      // The first sent 1 + 3 + … + 31 and was sent 2 + 4 + … + 32.
      const wallets = yield* send({ method: "GET", path: "/api/wallet", token: one.token })
      assert.include(wallets.text, "\"balance\":1016,")
    }))

  for (
    const [path, table] of [
      ["/api/payment/charge", "payments.payments"],
      ["/api/wallet/transfers", "wallet.transfers"]
    ] as const
  ) {
    it.effect(`${path} makes no row of an amount that is none`, () =>
      Effect.gen(function*() {
        const { alice, bob } = yield* Cast
        const before = yield* countOf(`SELECT count(*) FROM ${table}`)
        const to = path === "/api/wallet/transfers" ? `"toUserId":"${bob.id}",` : ""
        for (const amount of amountsThatAreNone) {
          const body = `{${to}"amount":${amount},"currency":"NGN"}`
          const answer = yield* send({ method: "POST", path, key: randomUUID(), token: alice.token, body })
          isProblem(answer, 400, "InvalidRequest")
          assert.include(answer.text, "\"pointer\":\"/body/amount\"", amount)
        }
        assert.strictEqual(yield* countOf(`SELECT count(*) FROM ${table}`), before)
      }))
  }

  it.effect("take 60 transfers an hour to an address from one member, whether it exists or not, and tell of both limits", () =>
    Effect.gen(function*() {
      const curious = yield* register()
      const guess = (n: number) => transfer(curious, { toEmail: `nobody-${n}@example.com`, amount: 1, currency: "NGN" })
      const first = yield* guess(0)
      isProblem(first, 404, "NotFound")
      assert.match(first.headers.get("ratelimit") ?? "", /^"user";r=\d+;t=\d+, "email-transfers";r=59;t=\d+$/)
      assert.strictEqual(first.headers.get("ratelimit-limit"), "60")
      const { alice } = yield* Cast
      const guesses = Array.from({ length: 59 }, (_, n) => n === 30 ? transferTo(alice) : guess(n + 1))
      for (const answer of yield* Effect.all(guesses, { concurrency: 8 })) assert.include([404, 422], answer.status)
      isProblem(yield* guess(60), 429, "TooManyRequests")
      isProblem(yield* transferTo(alice), 429, "TooManyRequests")
      const byId = yield* transfer(curious, { toUserId: alice.id, amount: 1, currency: "NGN" })
      isProblem(byId, 422, "InsufficientFunds")

      function transferTo({ email }: Member) {
        return transfer(curious, { toEmail: email, amount: 1, currency: "NGN" })
      }
    }))
})
