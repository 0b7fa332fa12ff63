import { Effect, Schedule } from "effect"
import type { FlaggedKind } from "../../src/domain/Flags.ts"
import { UserId } from "../../src/domain/Ids.ts"
import { walletOf } from "../../src/domain/Wallet.ts"
import { Fakes } from "../../src/layers/fakes/Fakes.ts"
import type { Refund, Transfer } from "../../src/layers/fakes/PaystackBook.ts"
import { Flags } from "../../src/services/Flags.ts"
import { Ledger } from "../../src/services/Ledger.ts"
import { newId } from "../../src/services/NewId.ts"
import { Reconciliation } from "../../src/services/Reconciliation.ts"
import { refund } from "./MoneyOut.ts"
import { owner } from "./PaymentsBench.ts"
import { put } from "./ProvidersBench.ts"
import { paidBy, payout, referenceOf } from "./ProvidersMoney.ts"

export const reason = "a ticket of the support desk"
export const decide = (kind: FlaggedKind, id: string, decision: "settle" | "release") =>
  Effect.gen(function*() {
    const by = yield* newId(UserId)
    return yield* (yield* Flags).decide(kind, id, { decision, reason }, by)
  })
export const look = (kind: FlaggedKind, id: string) => Effect.flatMap(Flags, (flags) => flags.look(kind, id))
export const run = Effect.flatMap(Reconciliation, ({ run }) => run(1))

/** Paystack tells nothing by itself: what a test changes there is heard when the test asks. */
export const silence = Effect.gen(function*() {
  const { paystack } = yield* Fakes
  yield* put(`${paystack.url}/_fake/switches`, { webhookLose: 1 })
  yield* Effect.addFinalizer(() => put(`${paystack.url}/_fake/switches`, { webhookLose: 0 }))
})

/** As a provider that pays something else than it was asked to. */
export const transferBecomes = Effect.fnUntraced(function*(reference: string, change: Partial<Transfer>) {
  const { transfers } = (yield* Fakes).paystack.fake.book
  const transfer = transfers.get(reference)
  if (transfer !== undefined) transfers.set(reference, { ...transfer, ...change })
})
export const refundBecomes = Effect.fnUntraced(function*(reference: string, change: Partial<Refund>) {
  const { refunds } = (yield* Fakes).paystack.fake.book
  const found = refunds.get(reference)
  if (found === undefined) return
  found.transaction.refunded += (change.amount ?? found.amount) - found.amount
  refunds.set(reference, { ...found, ...change })
})

/** Balance and what is held of it. */
export const wallet = (user: UserId) =>
  Effect.flatMap(
    Ledger,
    (ledger) => Effect.map(ledger.balance(walletOf(user), "NGN"), (it) => [Number(it.balance), Number(it.held)])
  )
export const standing = (id: string) =>
  Effect.map(
    owner(`SELECT status, flag, flag_decision, settled FROM payments.outgoing WHERE id = $1`, [id]),
    ([row]) => [...row ?? []]
  )

/** A payout of 1,000 from a wallet with 10,000, sent and not paid yet. */
export const sent = Effect.gen(function*() {
  yield* silence
  const user = yield* newId(UserId)
  yield* paidBy(user, "paystack", "NGN")
  const { id } = yield* payout(user, "paystack", "NGN", 1_000)
  const reference = yield* referenceOf(id)
  // Whoever sent it has written down what it was told, and gives nothing any more.
  yield* standing(id).pipe(
    Effect.repeat({ schedule: Schedule.spaced("20 millis"), until: ([status]) => status === "processing" }),
    Effect.timeout("20 seconds")
  )
  return { user, id, reference }
})

/** A refund of 4,000 of a payment of 10,000. */
export const refunding = Effect.gen(function*() {
  yield* silence
  const user = yield* newId(UserId)
  const payment = yield* paidBy(user, "paystack", "NGN")
  const { id } = yield* refund(user, payment.id, 4_000)
  return { user, id, payment, reference: yield* referenceOf(id) }
})
