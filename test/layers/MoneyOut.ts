import { Effect, Schedule } from "effect"
import { OperationId, type PaymentId, type PayoutId, type UserId } from "../../src/domain/Ids.ts"
import { Amount } from "../../src/domain/Money.ts"
import { MoneyRequest } from "../../src/domain/MoneyRequest.ts"
import type { Destination } from "../../src/domain/Payouts.ts"
import { walletOf } from "../../src/domain/Wallet.ts"
import { Ledger } from "../../src/services/Ledger.ts"
import { newId } from "../../src/services/NewId.ts"
import { Payouts } from "../../src/services/Payouts.ts"
import { Refunds } from "../../src/services/Refunds.ts"
import { moneyRequest } from "./moneyRequest.ts"
import { as, charge, checkout, confirm, owner } from "./PaymentsBench.ts"

const requested = Effect.fnUntraced(function*(userId: UserId, operationId?: OperationId) {
  return moneyRequest(userId, operationId ?? (yield* newId(OperationId)))
})

/** A payment of somebody that was paid and credited. */
export const paid = Effect.fnUntraced(function*(userId: UserId, amount = 2_500) {
  const made = yield* charge(userId, amount)
  yield* checkout(made, "succeed")
  return yield* confirm(userId, made.id)
})

export const refund = Effect.fnUntraced(function*(userId: UserId, id: PaymentId, amount?: number, key?: OperationId) {
  const refunds = yield* Refunds
  const request = yield* requested(userId, key)
  return yield* refunds.create(id, amount === undefined ? {} : { amount: Amount.make(BigInt(amount)) }).pipe(
    Effect.provideService(MoneyRequest, request)
  )
})

export const bank = (accountNumber: string): Destination => ({
  type: "bank",
  country: "NG",
  bankCode: "058",
  accountNumber,
  accountName: "Ada Obi"
})
/** The sandbox pays to the first at once, lets the second wait, and fails the third. */
export const pays = bank("0001231234")
export const waits = bank("0001230002")
export const fails = bank("0001230001")

export const payout = Effect.fnUntraced(
  function*(userId: UserId, amount: number, destination = pays, key?: OperationId) {
    const payouts = yield* Payouts
    const request = yield* requested(userId, key)
    return yield* payouts.create({ amount: Amount.make(BigInt(amount)), currency: "NGN", destination }).pipe(
      Effect.provideService(MoneyRequest, request)
    )
  }
)
export const payoutOf = (userId: UserId, id: PayoutId) => as(userId)(Effect.flatMap(Payouts, (p) => p.find(id)))
export const cancel = (userId: UserId, id: PayoutId) => as(userId)(Effect.flatMap(Payouts, (p) => p.cancel(id)))

export const untilPayout = (userId: UserId, id: PayoutId, status: string) =>
  payoutOf(userId, id).pipe(
    Effect.repeat({ schedule: Schedule.spaced("20 millis"), until: (payout) => payout.status === status }),
    Effect.timeout("20 seconds")
  )

export const wallet = (userId: UserId) =>
  Effect.flatMap(
    Ledger,
    (ledger) =>
      Effect.map(ledger.balance(walletOf(userId), "NGN"), ({ balance, held }) => [Number(balance), Number(held)])
  )

/** The wallet's balance and what of it is held, once they are so. */
export const untilWallet = (userId: UserId, balance: number, held: number) =>
  wallet(userId).pipe(
    Effect.repeat({ schedule: Schedule.spaced("20 millis"), until: ([b, h]) => b === balance && h === held }),
    Effect.timeoutOrElse({ duration: "20 seconds", orElse: () => Effect.flatMap(wallet(userId), Effect.fail) })
  )

/** How many transfers have a key that begins so. */
export const posted = (prefix: string) =>
  Effect.map(
    owner(`SELECT count(*)::int FROM wallet.transfers WHERE key LIKE $1 || '%'`, [prefix]),
    (rows) => rows[0]?.[0]
  )

export const untilPosted = (prefix: string) =>
  posted(prefix).pipe(
    Effect.repeat({ schedule: Schedule.spaced("20 millis"), until: (transfers) => transfers !== 0 }),
    Effect.timeout("20 seconds")
  )
