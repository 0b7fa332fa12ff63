import { assert, layer } from "@effect/vitest"
import { Clock, Effect, Exit, Fiber, Layer } from "effect"
import { TestClock } from "effect/testing"
import { OperationId, UserId } from "../../src/domain/Ids.ts"
import { Amount } from "../../src/domain/Money.ts"
import { MoneyRequest } from "../../src/domain/MoneyRequest.ts"
import { between, clearingOf, walletOf } from "../../src/domain/Wallet.ts"
import { Fakes } from "../../src/layers/fakes/Fakes.ts"
import { Ledger } from "../../src/services/Ledger.ts"
import { newId } from "../../src/services/NewId.ts"
import { Payments } from "../../src/services/Payments.ts"
import { moneyRequest } from "../layers/moneyRequest.ts"
import { as, checkout, confirm, transfersOf } from "../layers/PaymentsBench.ts"
import { balance, ProvidersBench, put } from "../layers/ProvidersBench.ts"

// The clock stands still unless a test moves it. Real sockets and PostgreSQL go on, so whatever ends while it stands did not
// wait for a time limit.

const currencies = { stripe: "USD", paystack: "NGN" } as const
type Name = keyof typeof currencies

const switched = Effect.fnUntraced(function*(name: Name, switches: object) {
  const { url } = (yield* Fakes)[name]
  const well = { hang: 0, resetAfterAccepting: 0, serverError: 0 }
  assert.strictEqual(yield* put(`${url}/_fake/switches`, { ...well, ...switches }), 200)
})

/** Providers' times are compared with the clock. Set before anything waits for it, or all that happens daily would happen. */
const today = Layer.effectDiscard(Effect.suspend(() => TestClock.setTime(Date.now())))
const sockets = Effect.promise(() => new Promise((resume) => setTimeout(resume, 5)))

/** Moves the clock in small steps until it is over. */
const passing = Effect.fnUntraced(function*<A, E, R>(work: Effect.Effect<A, E, R>) {
  const fiber = yield* Effect.forkChild(Effect.exit(work))
  while (fiber.pollUnsafe() === undefined) {
    yield* sockets
    yield* TestClock.adjust("250 millis")
  }
  return yield* Fiber.join(fiber)
})

/**
 * Once the circuit lets a call through. While it is made the clock stands: what succeeds did so without a retry. The one call may
 * be a comparison's in the background, which runs every quarter of an hour; then the next one is after that.
 */
const afterwards = Effect.fnUntraced(function*<A, E, R>(work: Effect.Effect<A, E, R>) {
  for (let turn = 0; turn < 4; turn++) {
    yield* TestClock.adjust("31 seconds")
    const exit = yield* Effect.exit(work)
    if (Exit.isSuccess(exit)) return exit.value
  }
  return yield* work
})

const charge = Effect.fnUntraced(function*(user: UserId, name: Name, id: OperationId) {
  const request = { amount: Amount.make(10_000n), currency: currencies[name], provider: name }
  return yield* Effect.flatMap(Payments, (payments) => payments.charge(request)).pipe(
    Effect.provideService(MoneyRequest, moneyRequest(user, id))
  )
})

/** Calls that were to make this charge, and the keys that they carried. */
const attempts = (name: Name, id: OperationId) =>
  Effect.map(
    Fakes,
    (fakes) =>
      fakes[name].calls.filter(({ body, method }) => method === "POST" && body.includes(id)).map(({ body, key }) =>
        key ?? /"reference":"([^"]+)"/.exec(body)?.[1]
      )
  )

/** How many charges of that id the provider holds in its own books. */
const made = (name: Name, id: OperationId) =>
  Effect.map(Fakes, ({ paystack, stripe }) =>
    name === "stripe"
      ? [...stripe.fake.book.sessions.values()].filter((session) => session.client_reference_id === id).length
      : [...paystack.fake.book.transactions.values()].filter(({ reference }) => reference === id).length)

const troubles = { hang: "hangs", resetAfterAccepting: "cuts the connection after accepting", serverError: "is down" }

layer(ProvidersBench.pipe(Layer.provideMerge(today)), { timeout: "60 seconds" })(
  "a provider that is away for five minutes",
  (it) => {
    for (const name of ["stripe", "paystack"] as const) {
      for (const trouble of ["hang", "resetAfterAccepting", "serverError"] as const) {
        it.effect(
          `holds one charge, asked for under one key: ${name} ${troubles[trouble]}`,
          () =>
            Effect.gen(function*() {
              const user = yield* newId(UserId)
              const id = yield* newId(OperationId)
              yield* switched(name, { [trouble]: 1 })
              const begin = yield* Clock.currentTimeMillis
              const answers: Array<boolean> = []
              while ((yield* Clock.currentTimeMillis) < begin + 300_000) {
                answers.push(Exit.isSuccess(yield* passing(charge(user, name, id))))
                yield* TestClock.adjust("10 seconds")
              }
              assert.isFalse(answers.includes(true))
              assert.isAbove(answers.length, 10)
              const during = yield* attempts(name, id)
              assert.isAbove(during.length, 1)
              // Five failures, then one call in half a minute: the circuit keeps the rest away, and nobody else repeats any.
              assert.isAtMost(during.length, 16)
              yield* switched(name, {})
              const payment = yield* afterwards(charge(user, name, id))
              assert.deepStrictEqual([...new Set(yield* attempts(name, id))], [id])
              assert.strictEqual(yield* made(name, id), 1)
              // Paystack tells a checkout's address once: where that was lost nobody can pay, and the charge is given up.
              const isLost = name === "paystack" && trouble !== "serverError"
              assert.strictEqual(payment.status, isLost ? "canceled" : "requires_action")
              if (!isLost) {
                assert.strictEqual(yield* checkout(payment, "succeed"), 200)
                assert.strictEqual((yield* confirm(user, payment.id)).status, "succeeded")
              }
              assert.strictEqual(yield* balance(user, currencies[name]), isLost ? 0 : 10_000)
              assert.strictEqual(yield* transfersOf(payment.id), isLost ? 0 : 1)
            }),
          150_000
        )
      }
    }

    it.effect("keeps nobody waiting but those who asked for it: transfers, reads and the other provider go on", () =>
      Effect.gen(function*() {
        const ledger = yield* Ledger
        const { stripe } = yield* Fakes
        const payer = yield* newId(UserId)
        yield* switched("stripe", { hang: 1 })
        const before = stripe.calls.length
        const asking = yield* Effect.forEach(
          Array.from({ length: 40 }),
          () => Effect.flatMap(newId(OperationId), (id) => Effect.forkChild(Effect.exit(charge(payer, "stripe", id))))
        )
        while (stripe.calls.length < before + 40) yield* sockets

        const transfers = yield* Effect.forEach(
          Array.from({ length: 200 }),
          () =>
            Effect.flatMap(newId(UserId), (user) =>
              ledger.post(between({
                key: `while it hangs:${user}`,
                kind: "charge",
                from: clearingOf("sandbox"),
                to: walletOf(user),
                amount: Amount.make(500n),
                currency: "USD",
                reference: {}
              }))),
          { concurrency: 16 }
        )
        assert.strictEqual(new Set(transfers.map(({ id }) => id)).size, 200)
        const listed = yield* as(payer)(
          Effect.flatMap(Payments, (payments) => payments.list({ cursor: undefined, limit: 100 }))
        )
        assert.deepStrictEqual(listed.items.map(({ status }) => status), Array.from({ length: 40 }, () => "processing"))
        const other = yield* Effect.flatMap(newId(OperationId), (id) => charge(payer, "paystack", id))
        assert.strictEqual(other.status, "requires_action")

        // All that, and none of the forty has had an answer; the clock's ten seconds are what ends them.
        assert.isTrue(asking.every((fiber) => fiber.pollUnsafe() === undefined))
        yield* TestClock.adjust("10 seconds")
        const ended = yield* Effect.forEach(asking, Fiber.join)
        assert.isTrue(ended.every(Exit.isFailure))
        yield* switched("stripe", {})
      }))
  }
)
