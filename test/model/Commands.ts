import * as fc from "fast-check"
import type { AccountName, Command } from "./Ledger.ts"

/** Commands of a run, as rounds: those of one round are made at once, and a round begins when the last one is answered. */
export type Rounds = ReadonlyArray<ReadonlyArray<Command>>

/** Few accounts, few keys and small sums, so that commands meet: on one account, under one key, over one hold. */
export const rounds = (run: string): fc.Arbitrary<Rounds> => {
  // Members and campaigns have UUIDs; that of a run begins with its eight hexadecimal digits.
  const id = (last: string) => `${run}-0000-7000-8000-00000000000${last}`
  const spenders: ReadonlyArray<AccountName> = [
    `wallet:${id("a")}`,
    `wallet:${id("b")}`,
    `wallet:${id("c")}`,
    `escrow:${id("e")}`
  ]
  const payer: AccountName = `clearing:${run}`
  const spender = fc.constantFrom(...spenders)
  const anyone = fc.constantFrom(payer, ...spenders)
  // Multiples of ten, so that an account often has exactly what is asked of it: the edge at which a floor is got wrong.
  const amount = fc.integer({ min: 1, max: 5 }).map((tens) => BigInt(tens * 10))
  const key = fc.integer({ min: 0, max: 11 }).map((n) => `transfer:${run}-${n}`)
  const hold = fc.integer({ min: 0, max: 5 }).map((n) => `hold:${run}-${n}`)

  const charge = fc.record({ key, to: spender, amount }).map(({ amount, key, to }): Command => ({
    op: "transfer",
    key,
    legs: [{ account: payer, amount: -amount }, { account: to, amount }]
  }))
  const pair = fc.uniqueArray(anyone, { minLength: 2, maxLength: 2 })
  const transfer = fc.record({ key, pair, amount }).map((
    { amount, key, pair: [from = payer, to = payer] }
  ): Command => ({
    op: "transfer",
    key,
    legs: [{ account: from, amount: -amount }, { account: to, amount }]
  }))
  const split = fc.record({ key, three: fc.shuffledSubarray([...spenders], { minLength: 3, maxLength: 3 }), amount })
    .map(({ amount, key, three: [from = payer, one = payer, other = payer] }): Command => ({
      op: "transfer",
      key,
      legs: [{ account: from, amount: -2n * amount }, { account: one, amount }, { account: other, amount }]
    }))
  // Larger than most captures, and most of them with time left: else hardly any hold is captured in parts.
  const authorise = fc.record({
    key: hold,
    account: spender,
    amount: fc.integer({ min: 1, max: 10 }).map((tens) => BigInt(tens * 10)),
    stale: fc.integer({ min: 0, max: 3 }).map((luck) => luck === 0)
  })
    .map((hold): Command => ({ op: "authorise", ...hold }))
  // To the payer, which no hold is on: the ledger refuses a capture to the account that it is taken from.
  const capture = fc.record({ key, hold, amount }).map((capture): Command => ({ op: "capture", ...capture, to: payer }))
  const voids = hold.map((hold): Command => ({ op: "void", hold }))
  const command = fc.oneof(
    { weight: 4, arbitrary: charge },
    { weight: 5, arbitrary: transfer },
    { weight: 2, arbitrary: split },
    { weight: 5, arbitrary: authorise },
    { weight: 8, arbitrary: capture },
    { weight: 2, arbitrary: voids },
    { weight: 1, arbitrary: fc.constant<Command>({ op: "expire" }) }
  )
  // Some are made twice at once, as a client does that lost the answer.
  const round = fc.array(fc.tuple(command, fc.integer({ min: 0, max: 9 })), { minLength: 1, maxLength: 7 })
    .map((made) => made.flatMap(([command, luck]) => luck < 3 ? [command, command] : [command]))
  // Everybody begins with something, so that not most of it is refused.
  const opening = spenders.map((to, n): Command => ({
    op: "transfer",
    key: `transfer:${run}-${100 + n}`,
    legs: [{ account: payer, amount: -150n }, { account: to, amount: 150n }]
  }))
  return fc.array(round, { minLength: 3, maxLength: 8 }).map((rounds) => [opening, ...rounds])
}
