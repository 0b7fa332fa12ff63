import { assert, describe, it } from "@effect/vitest"
import { DateTime, Option } from "effect"
import * as fc from "fast-check"
import { decideCharge, decideFlagged, goesByReport, type OutgoingVerdict } from "../../src/domain/Flags.ts"
import { Amount, type Currency } from "../../src/domain/Money.ts"
import { bookedOf, type Outgoing, type OutgoingFlag, type OutgoingReport, stepsOf } from "../../src/domain/Outgoing.ts"

type Row = Parameters<typeof decideFlagged>[0]

const amount = Amount.make(500n)
const statuses = ["processing", "done", "failed", "canceled", "refused"] satisfies ReadonlyArray<Outgoing["status"]>
const flags = [
  "amount_mismatch",
  "currency_mismatch",
  "done_after_end",
  "balance_limit",
  "hold_lost"
] satisfies ReadonlyArray<
  OutgoingFlag
>
const rows: fc.Arbitrary<Row> = fc.record({
  status: fc.constantFrom(...statuses),
  flag: fc.constantFrom(...flags),
  wasDone: fc.boolean(),
  settled: fc.boolean()
}).map(({ flag, settled, status, wasDone }) => ({
  amount,
  currency: "NGN",
  acceptedAmount: Option.none(),
  acceptedCurrency: Option.none(),
  status,
  flag: Option.some(flag),
  doneAt: status === "done" || (status === "failed" && wasDone) ? Option.some(DateTime.makeUnsafe(1)) : Option.none(),
  settled
}))
const reports: fc.Arbitrary<OutgoingReport | undefined> = fc.option(
  fc.record({
    status: fc.constantFrom("moving" as const, "done" as const, "failed" as const),
    amount: fc.bigInt(0n, 1_000n),
    currency: fc.constantFrom("NGN", "USD", "XXX"),
    failureReason: fc.constant(Option.none())
  }),
  { nil: undefined }
)
const accepting = (row: Row, verdict: OutgoingVerdict) =>
  verdict._tag === "Accept" || verdict._tag === "Revive"
    ? {
      ...row,
      acceptedAmount: Option.some(verdict.accepted.amount),
      acceptedCurrency: Option.some(verdict.accepted.currency)
    }
    : row

describe("a decision on a refund or payout", () => {
  it("never releases what the provider pays or has paid", () => {
    fc.assert(fc.property(rows, reports, (row, report) => {
      const verdict = decideFlagged(row, "release", report)
      const isHeld = row.status === "processing"
      if (isHeld && report?.status !== "failed") assert.strictEqual(verdict._tag, "Impossible")
      assert.notInclude(["Accept", "Revive", "Clear"], verdict._tag)
    }))
  })

  it("never counts as paid what the provider does not say to be paid", () => {
    fc.assert(fc.property(rows, reports, (row, report) => {
      const verdict = decideFlagged(row, "settle", report)
      if (verdict._tag === "Revive") assert.strictEqual(report?.status, "done")
      if (verdict._tag === "Fail") assert.strictEqual(report?.status, "failed")
      assert.notStrictEqual(verdict._tag, "Leave")
    }))
  })

  it("never books more than was held, nor another amount than was booked already", () => {
    fc.assert(fc.property(rows, reports, (row, report) => {
      const booked = bookedOf(accepting(row, decideFlagged(row, "settle", report)))
      assert.isTrue(booked > 0n && booked <= row.amount)
      if (row.status === "done") assert.strictEqual(booked, bookedOf(row))
    }))
  })

  it("is the same whatever the provider has, where the provider is not asked", () => {
    const decisions = fc.constantFrom("settle" as const, "release" as const)
    fc.assert(fc.property(rows, decisions, reports, (row, decision, report) => {
      fc.pre(!goesByReport(row, decision))
      assert.deepStrictEqual(decideFlagged(row, decision, report), decideFlagged(row, decision, undefined))
    }))
    const ended = { status: "failed", doneAt: Option.none() } as const
    assert.deepStrictEqual([goesByReport(ended, "release"), goesByReport(ended, "settle")], [false, true])
  })

  it("leaves what was paid and failed later only where the ledger could not follow and nothing was booked", () => {
    const failed = { amount, currency: "NGN", acceptedAmount: Option.none(), acceptedCurrency: Option.none() } as const
    const doneAt = Option.some(DateTime.makeUnsafe(1))
    const released = (flag: OutgoingFlag, settled: boolean) =>
      decideFlagged({ ...failed, status: "failed", doneAt, flag: Option.some(flag), settled }, "release", undefined)
        ._tag
    assert.strictEqual(released("hold_lost", false), "Leave")
    assert.strictEqual(released("hold_lost", true), "Impossible")
    assert.strictEqual(released("balance_limit", false), "Impossible")
  })

  it("lets go of what is left of a hold of which a part was paid, before and after it is given back", () => {
    const part = {
      amount,
      currency: "NGN" as const,
      acceptedAmount: Option.some(Amount.make(200n)),
      acceptedCurrency: Option.some("NGN" as const)
    }
    const doneAt = Option.some(DateTime.makeUnsafe(1))
    assert.deepStrictEqual(stepsOf({ ...part, status: "done", doneAt }), ["capture", "release"])
    assert.deepStrictEqual(stepsOf({ ...part, status: "failed", doneAt }), ["capture", "release", "give_back"])
    assert.deepStrictEqual(stepsOf({ ...part, status: "failed", doneAt: Option.none() }), ["release"])
  })
})

describe("a decision on a charge", () => {
  const currencies: ReadonlyArray<Currency> = ["NGN", "USD"]
  const report = { status: "succeeded", amount: 600n, currency: "USD", livemode: false } as const
  const settle = (more: Partial<Parameters<typeof decideCharge>[2] & object>) =>
    decideCharge({ livemode: false }, "settle", { ...report, ...more }, currencies)

  it("credits what the provider has, in a currency and an amount that a wallet can have", () => {
    assert.deepStrictEqual(settle({}), { _tag: "Accept", accepted: { amount: Amount.make(600n), currency: "USD" } })
    for (const more of [{ currency: "EUR" }, { currency: "XXX" }, { amount: 0n }, { amount: 10n ** 12n + 1n }]) {
      assert.strictEqual(settle(more)._tag, "Impossible")
    }
  })

  it("credits nothing of the other mode, and nothing that was not paid", () => {
    assert.strictEqual(settle({ livemode: true })._tag, "Impossible")
    assert.strictEqual(settle({ status: "processing" })._tag, "Impossible")
    assert.strictEqual(settle({ status: "failed" })._tag, "End")
    assert.strictEqual(decideCharge({ livemode: false }, "settle", undefined, currencies)._tag, "Impossible")
    assert.strictEqual(decideCharge({ livemode: false }, "release", undefined, currencies)._tag, "End")
  })
})
