import { assert, describe, it } from "@effect/vitest"
import { DateTime, Option, Result } from "effect"
import * as fc from "fast-check"
import { disputedOf, partsOf, takenOf } from "../../src/domain/Disputes.ts"
import { Amount } from "../../src/domain/Money.ts"
import {
  decideOutgoing,
  type LedgerStep,
  type Outgoing,
  type OutgoingReport,
  type OutgoingStatus,
  stepsOf
} from "../../src/domain/Outgoing.ts"

type Standing = Pick<
  Outgoing,
  "amount" | "currency" | "acceptedAmount" | "acceptedCurrency" | "status" | "flag" | "doneAt"
>

const amount = Amount.make(500n)
const processing: Standing = {
  amount,
  currency: "NGN",
  acceptedAmount: Option.none(),
  acceptedCurrency: Option.none(),
  status: "processing",
  flag: Option.none(),
  doneAt: Option.none()
}
const report = (status: OutgoingReport["status"], of = {}): OutgoingReport => ({
  status,
  amount: 500n,
  currency: "NGN",
  failureReason: Option.none(),
  ...of
})

/** What the store does with a decision: a step forward, or nothing. */
const follow = (row: Standing, said: OutgoingReport): Standing => {
  const decision = decideOutgoing(row, said)
  switch (decision._tag) {
    case "Keep":
      return row
    case "Complete":
      return row.status === "processing" ? { ...row, status: "done", doneAt: Option.some(DateTime.makeUnsafe(1)) } : row
    case "Fail":
      return row.status === "processing" || row.status === "done" ? { ...row, status: "failed" } : row
    case "Flag":
      return { ...row, flag: Option.some(decision.flag) }
  }
}

/** A wallet of its own making: 500 are held from the start, and each step is done once, as the ledger's keys have it. */
const book = () => {
  const done = new Set<LedgerStep>()
  const money = { wallet: 0, held: 500, provider: 0 }
  const doStep: Record<LedgerStep, () => void> = {
    capture: () => {
      money.held -= 500
      money.provider += 500
    },
    give_back: () => {
      money.provider -= 500
      money.wallet += 500
    },
    release: () => {
      money.held -= 500
      money.wallet += 500
    }
  }
  return {
    money,
    apply: (row: Standing) => {
      for (const step of stepsOf(row)) {
        if (done.has(step)) continue
        done.add(step)
        doStep[step]()
      }
    }
  }
}

describe("money on its way out", () => {
  const events = fc.array(
    fc.constantFrom<OutgoingReport["status"]>("moving", "done", "failed"),
    { maxLength: 12 }
  )

  it("leaves the wallet once or not at all, whatever is reported in whatever order and number", () => {
    fc.assert(fc.property(events, (reports) => {
      let row = processing
      const { apply, money } = book()
      for (const status of reports) {
        row = follow(row, report(status))
        apply(row)
        apply(row)
        assert.strictEqual(money.wallet + money.held + money.provider, 500)
        assert.isTrue(Object.values(money).every((part) => part === 0 || part === 500))
      }
      if (Option.isSome(row.flag)) return
      const there = Object.entries(money).find(([, part]) => part === 500)
      const expected = row.status === "processing" ? "held" : row.status === "done" ? "provider" : "wallet"
      assert.strictEqual(there?.[0], expected)
    }))
  })

  it("is given back when it failed after it was paid, and not when a late word of the payment comes after that", () => {
    const paid = follow(processing, report("done"))
    const returned = follow(paid, report("failed"))
    assert.deepStrictEqual(stepsOf(returned), ["capture", "give_back"])
    assert.strictEqual(follow(returned, report("done")), returned)
  })

  it("and a dispute of nothing, or of less than nothing, is one of another amount", () => {
    for (const units of [0n, -1n, 501n]) {
      assert.deepStrictEqual(
        disputedOf({ amount, currency: "NGN" }, { amount: units, currency: "NGN" }),
        Result.fail("amount_mismatch")
      )
    }
  })

  it("is flagged when it ended here and was paid all the same", () => {
    for (const status of ["failed", "canceled", "refused"] satisfies ReadonlyArray<OutgoingStatus>) {
      assert.deepStrictEqual(decideOutgoing({ ...processing, status }, report("done")), {
        _tag: "Flag",
        flag: "done_after_end"
      })
    }
  })

  it("is never moved by a report of another amount or currency", () => {
    const other = fc.record({ amount: fc.bigInt(1n, 1_000n), currency: fc.constantFrom("NGN", "USD", "XXX") })
      .filter((of) => of.amount !== 500n || of.currency !== "NGN")
    fc.assert(fc.property(other, fc.constantFrom("done" as const, "failed" as const), (of, status) => {
      assert.strictEqual(decideOutgoing(processing, report(status, of))._tag, "Flag")
    }))
  })
})

describe("the parts of a disputed amount", () => {
  it("sum to it, and cover all that a wallet has but less than the smallest that is left out", () => {
    fc.assert(fc.property(fc.bigInt(1n, 1_000_000_000_000n), fc.bigInt(0n, 1_000_000_000_000n), (whole, wallet) => {
      const parts = partsOf(Amount.make(whole))
      assert.strictEqual(parts.reduce((sum: bigint, part) => sum + part, 0n), whole)
      assert.isAtMost(parts.length, 41)
      let free = wallet
      for (const part of parts) if (part <= free) free -= part
      // All that can be held is held: the whole amount, or all that there is.
      assert.strictEqual(free, wallet > whole ? wallet - whole : 0n)
    }))
  })

  it("are taken up to what was decided, each no further than it goes, and what is more than all of them as one more", () => {
    fc.assert(fc.property(fc.bigInt(1n, 1_000_000_000_000n), fc.bigInt(1n, 1_000_000_000_000n), (whole, decided) => {
      const amount = Amount.make(whole)
      const parts = partsOf(amount)
      const taken = takenOf({ amount, decidedAmount: Option.some(Amount.make(decided)) })
      assert.strictEqual(taken.reduce((sum: bigint, part) => sum + part, 0n), decided)
      assert.strictEqual(taken.length > parts.length, decided > whole)
      parts.forEach((part, n) => assert.isTrue((taken[n] ?? 0n) <= part))
      assert.deepStrictEqual(takenOf({ amount, decidedAmount: Option.none() }), parts)
    }))
  })
})
