import { assert, it } from "@effect/vitest"
import { Option } from "effect"
import { array, assert as check, constantFrom, property, record } from "fast-check"
import { Amount } from "../../src/domain/Money.ts"
import { decide, type MoneyOut, type OutReport } from "../../src/domain/MoneyOut.ts"

const asked: MoneyOut = { stage: "pending", amount: Amount.make(500n), currency: "NGN", flag: Option.none() }

/** What a ledger does on a row of decisions: how much left the wallet for good, and how often each thing happened. */
const play = (reports: ReadonlyArray<OutReport>) => {
  let out = asked
  const done = { Settle: 0, Release: 0, BookBack: 0 }
  for (const report of reports) {
    const decision = decide(out, report)
    if (decision._tag === "Keep") continue
    if (decision._tag === "Flag") {
      out = { ...out, flag: Option.some(decision.flag) }
      continue
    }
    done[decision._tag]++
    out = { ...out, stage: decision._tag === "Settle" ? "done" : "failed" }
  }
  return { out, done }
}

const reports = array(
  record({
    stage: constantFrom("pending" as const, "done" as const, "failed" as const),
    amount: constantFrom(500n, 499n, 1_000n),
    currency: constantFrom("NGN", "USD")
  }),
  { maxLength: 12 }
)

it("captures at most once, releases at most once, and gives back only what was captured, in whatever order reports come", () => {
  check(property(reports, (all) => {
    const { done } = play(all)
    assert.isAtMost(done.Settle, 1)
    assert.isAtMost(done.Release + done.BookBack, 1)
    assert.isAtMost(done.BookBack, done.Settle)
    assert.isFalse(done.Settle > 0 && done.Release > 0)
  }))
})

it("never captures on a report that disagrees with what was asked", () => {
  check(property(reports, (all) => {
    const honest = all.some(({ amount, currency, stage }) => stage === "done" && amount === 500n && currency === "NGN")
    assert.isTrue(honest || play(all).done.Settle === 0)
  }))
})

it("leaves to a person what a provider pays after it had said that it failed", () => {
  const paid: OutReport = { stage: "done", amount: 500n, currency: "NGN" }
  const { done, out } = play([{ ...paid, stage: "failed" }, paid, paid])
  assert.deepStrictEqual([done.Release, done.Settle, Option.getOrNull(out.flag)], [1, 0, "done_after_failure"])
})

it("ends the same for any repetition of what was said", () => {
  check(property(reports, (all) => {
    const twice = all.flatMap((report) => [report, report])
    assert.deepStrictEqual(play(twice), play(all))
  }))
})
