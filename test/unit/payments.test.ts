import { NodeCrypto } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { DateTime, Effect, Option, Redacted } from "effect"
import { Mac } from "effect/crypto"
import { TestClock } from "effect/testing"
import { type Arbitrary, array, assert as check, boolean, constantFrom, property, record } from "fast-check"
import { PaymentId, TransferId, UserId } from "../../src/domain/Ids.ts"
import { Amount } from "../../src/domain/Money.ts"
import {
  type ChargeReport,
  decide,
  type Decision,
  isReturnUrlAllowed,
  type Payment,
  PaymentStatus
} from "../../src/domain/Payments.ts"
import { formatAmount } from "../../src/layers/sandbox/CheckoutPage.ts"
import { sign } from "../../src/layers/sandbox/Webhooks.ts"
import { readTimestamped } from "../../src/layers/TimestampedSignature.ts"
import { VerifiedEvent } from "../../src/services/Gateway.ts"

const asked: Payment = {
  id: PaymentId.make("0198c0de-0000-7000-8000-000000000001"),
  userId: UserId.make("0198c0de-0000-7000-8000-000000000002"),
  provider: "sandbox",
  amount: Amount.make(2_500n),
  currency: "NGN",
  livemode: false,
  status: "requires_action",
  providerReference: Option.some("ch_1"),
  nextAction: Option.none(),
  returnUrl: Option.none(),
  amountRefunded: 0n,
  refundReserved: 0n,
  fee: Option.none(),
  disputed: false,
  flag: Option.none(),
  flagDecision: Option.none(),
  transferId: Option.none(),
  createdAt: DateTime.makeUnsafe(0)
}

const after = (payment: Payment, decision: Decision): Payment => {
  switch (decision._tag) {
    case "Keep":
      return payment
    case "Move":
      return { ...payment, status: decision.to }
    case "Flag":
      return { ...payment, flag: Option.some(decision.flag) }
    case "Credit":
      return {
        ...payment,
        status: "succeeded",
        transferId: Option.some(TransferId.make("0198c0de-0000-7000-8000-000000000003"))
      }
  }
}

const run = (reports: ReadonlyArray<ChargeReport>) => {
  let payment = asked
  const credits: Array<ChargeReport> = []
  for (const report of reports) {
    const decision = decide(payment, report)
    if (decision._tag === "Credit") credits.push(report)
    payment = after(payment, decision)
  }
  return { payment, credits }
}

const statuses = constantFrom(...PaymentStatus.literals)
const right = statuses.map((status): ChargeReport => ({ status, amount: 2_500n, currency: "NGN", livemode: false }))
const any: Arbitrary<ChargeReport> = record({
  status: statuses,
  amount: constantFrom(2_500n, 2_499n, 250_000n, 0n, -2_500n),
  currency: constantFrom("NGN", "USD", "ngn", ""),
  livemode: boolean()
})
const agrees = (report: ChargeReport) =>
  report.status === "succeeded" && report.amount === 2_500n && report.currency === "NGN" && !report.livemode

describe("a payment's state machine", () => {
  it("credits exactly once when any report says succeeded, in any order and number, and ends succeeded", () => {
    check(property(array(right, { maxLength: 12 }), (reports) => {
      const { credits, payment } = run(reports)
      const paid = reports.some((report) => report.status === "succeeded")
      assert.strictEqual(credits.length, paid ? 1 : 0)
      assert.strictEqual(payment.status === "succeeded", paid)
    }))
  })

  it("never credits a report that disagrees in amount, currency or mode, and at most one that agrees", () => {
    check(property(array(any, { maxLength: 12 }), (reports) => {
      const { credits, payment } = run(reports)
      assert.isTrue(credits.length <= 1)
      assert.isTrue(credits.every(agrees))
      const first = reports.find((report) => report.status === "succeeded")
      // The first success decides: it is credited, or flagged for a person.
      assert.strictEqual(credits.length === 1, first !== undefined && agrees(first))
      assert.strictEqual(Option.isSome(payment.flag), first !== undefined && !agrees(first))
    }))
  })

  it("only moves up: a late report never takes a final state back", () => {
    check(property(array(right, { maxLength: 12 }), statuses, (reports, status) => {
      const { payment } = run([...reports, { status: "failed", amount: 2_500n, currency: "NGN", livemode: false }])
      const decision = decide(payment, { status, amount: 2_500n, currency: "NGN", livemode: false })
      assert.strictEqual(decision._tag === "Credit", status === "succeeded" && payment.status !== "succeeded")
      assert.notStrictEqual(decision._tag, "Move")
    }))
  })
})

describe("a return URL", () => {
  const origins = ["https://app.example.com", "http://localhost:5173"]
  const verdicts = {
    "https://app.example.com/done?a=1": true,
    "http://localhost:5173/": true,
    "https://app.example.com.evil.example/": false,
    "https://app.example.com@evil.example/": false,
    "https://user:word@app.example.com/": false,
    "http://app.example.com/": false,
    "blob:https://app.example.com/x": false,
    "javascript:alert(1)": false,
    "/relative": false,
    "https://app.example.com:443/done": true,
    "HTTPS://APP.EXAMPLE.COM/done#part": true,
    "https://app.example.com:8443/": false,
    "https://app.example.com./": false,
    "https://app.example.com../": false,
    "https://xn--pp-xja.example.com/": false,
    "https://\u0430pp.example.com/": false,
    "https://app\u3002example.com.evil.example/": false,
    "https://:word@app.example.com/": false,
    "https://app.example.com\\@evil.example/": false,
    "https://evil.example\\@app.example.com/": false,
    "https:///app.example.com/": false,
    "https:app.example.com/": false,
    "https:/app.example.com/": false,
    "https://app.exa\nmple.com/": false,
    "\thttps://app.example.com/": false,
    "https://app.example.com/\r\nSet-Cookie: a=b": false,
    "https://app.example.com/ evil": false,
    "data:text/html,https://app.example.com/": false,
    "JavaScript://app.example.com/%0aalert(1)": false,
    "//app.example.com/": false
  }
  for (const [url, allowed] of Object.entries(verdicts)) {
    it(`${allowed ? "is allowed" : "is refused"}: ${url}`, () => {
      assert.strictEqual(isReturnUrlAllowed(url, origins), allowed)
    })
  }
})

const verify = Effect.fnUntraced(function*(header: string | undefined, body: string, secret = "whsec_test_secret") {
  const encoder = new TextEncoder()
  const key = yield* Effect.orDie(Mac.key(Mac.hmacSha256, encoder.encode(secret)))
  const proof = yield* readTimestamped({ provider: "sandbox", keys: [key], header, rawBody: encoder.encode(body) })
  const none = Option.none()
  const facts = { eventId: "evt_test_webhook", type: "test", reference: none, operationId: none, paymentId: none }
  return yield* VerifiedEvent.authenticate(proof, () => Effect.succeed({ ...facts, about: "other" as const }))
}, Effect.provide(NodeCrypto.layerMac))

describe("a timestamped signature", () => {
  // A published vector: computed by somebody else's code.
  const body = `{"id":"evt_test_webhook","object":"event"}`
  const digest = "d95c6b7477fbd7e9f90b1b0ef5f9c7ac25abca5382460e0d988c2b2a5b71b990"
  const at = (seconds: number) => TestClock.setTime(seconds * 1_000)

  it.effect("is accepted when any v1 matches, beside other schemes and other secrets", () =>
    Effect.gen(function*() {
      yield* at(1_700_000_000)
      const event = yield* verify(`t=1700000000,v0=${digest},v1=${"0".repeat(64)},v1=${digest}`, body)
      assert.deepStrictEqual([event.facts.eventId, event.body], ["evt_test_webhook", body])
    }))

  it.effect("is accepted 300 s later and refused after 301 s, and from as far ahead", () =>
    Effect.gen(function*() {
      const outcomes: Array<string> = []
      for (const seconds of [1_700_000_300, 1_700_000_301, 1_699_999_700, 1_699_999_699]) {
        yield* at(seconds)
        const tag = yield* verify(`t=1700000000,v1=${digest}`, body).pipe(
          Effect.match({ onFailure: (error) => error._tag, onSuccess: () => "accepted" })
        )
        outcomes.push(tag)
      }
      assert.deepStrictEqual(outcomes, ["accepted", "WebhookForged", "accepted", "WebhookForged"])
    }))

  it.effect("is refused when header, time, body or secret is another", () =>
    Effect.gen(function*() {
      yield* at(1_700_000_000)
      const good = `t=1700000000,v1=${digest}`
      const refused = [
        verify(undefined, body),
        verify("", body),
        verify(`v1=${digest}`, body),
        verify("t=1700000000", body),
        verify(`t=1700000000,v0=${digest}`, body),
        verify(`t=1700000001,v1=${digest}`, body),
        verify(`t=1700000000,v1=${digest.slice(0, 62)}`, body),
        verify(good, `${body} `),
        verify(good, body, "whsec_other_secret")
      ]
      for (const attempt of refused) assert.strictEqual((yield* Effect.flip(attempt))._tag, "WebhookForged")
    }))

  it("is what the sandbox sends", () => {
    const header = sign(Redacted.make("whsec_test_secret"), 1_700_000_000, body)
    assert.strictEqual(header, `t=1700000000,v1=${digest}`)
  })
})

describe("the amount on the checkout page", () => {
  it("has as many digits as its currency, exact to the last", () => {
    const shown = [
      formatAmount({ amount: Amount.make(250_050n), currency: "NGN" }),
      formatAmount({ amount: Amount.make(5n), currency: "USD" }),
      formatAmount({ amount: Amount.make(500n), currency: "JPY" }),
      formatAmount({ amount: Amount.make(1_250n), currency: "KWD" }),
      formatAmount({ amount: Amount.make(1_000_000_000_000n), currency: "EUR" })
    ]
    assert.deepStrictEqual(shown, ["NGN 2,500.50", "$0.05", "¥500", "KWD 1.250", "€10,000,000,000.00"])
  })
})
