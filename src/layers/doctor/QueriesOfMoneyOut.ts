import { Effect, Option } from "effect"
import { SecureRandom } from "effect/crypto"
import { PaymentId, PayoutId, RefundId, TransferId, UserId } from "../../domain/Ids.ts"
import { Amount } from "../../domain/Money.ts"
import type { PaymentStore } from "../../services/PaymentStore.ts"
import type { PayoutStore } from "../../services/PayoutStore.ts"
import type { RefundStore } from "../../services/RefundStore.ts"
import { after, named, type Uses } from "./NamedQuery.ts"
import type { Samples } from "./Samples.ts"

const amount = Amount.make(1n)
const fresh = <A>(schema: { readonly make: (value: string) => A }) => schema.make(SecureRandom.uuidV7Unsafe())

export const refundQueries = (
  store: RefundStore["Service"],
  payments: PaymentStore["Service"],
  real: Samples
) => {
  const [id, paymentId] = [fresh(RefundId), fresh(PaymentId)]
  const paid = payments.insert({
    id: paymentId,
    userId: real.payer,
    provider: "sandbox",
    amount,
    currency: "USD",
    livemode: false,
    returnUrl: Option.none()
  }).pipe(Effect.andThen(payments.succeed(paymentId, fresh(TransferId))))
  const insert = store.insert({ id, paymentId, amount, reason: Option.none() })
  const made = Effect.andThen(paid, insert)
  const uses: Uses<RefundStore["Service"]> = {
    insert: [insert, after(paid, insert)],
    find: store.find(id),
    named: after(made, store.named(id, "doctor")),
    settle: after(made, store.settle(id, fresh(TransferId))),
    fail: after(made, store.fail(id, "doctor", Option.none())),
    flag: after(made, store.flag(id, "amount_mismatch")),
    claim: after(made, store.claim(id)),
    free: after(made, store.free(id)),
    stuck: store.stuck(120)
  }
  return named("RefundStore", uses)
}

export const payoutQueries = (store: PayoutStore["Service"], real: Samples) => {
  const id = fresh(PayoutId)
  const insert = store.insert({
    id,
    userId: real.payer,
    provider: "sandbox",
    amount,
    currency: "USD",
    destination: new Uint8Array(64),
    destinationType: "bank",
    last4: "0000",
    status: "pending_approval"
  })
  const held = Effect.andThen(insert, store.hold(id))
  const processing = Effect.andThen(held, store.decide(id, "processing", Option.none()))
  const page = { before: Option.none(), limit: 20 }
  const next = { ...page, before: Option.some(id) }
  const uses: Uses<PayoutStore["Service"]> = {
    askedToday: store.askedToday(real.payer, "USD"),
    insert,
    find: store.find(id),
    destination: after(insert, store.destination(id)),
    list: [store.list({ ...page, userId: real.payer }), store.list({ ...next, userId: real.payer })],
    waiting: [store.waiting(page), store.waiting(next)],
    hold: after(insert, store.hold(id)),
    decide: after(held, store.decide(id, "canceled", Option.some({ by: fresh(UserId), reason: "doctor" }))),
    recipient: after(held, store.recipient(id, "doctor")),
    named: after(held, store.named(id, "doctor")),
    settle: after(processing, store.settle(id, fresh(TransferId))),
    fail: after(held, store.fail(id, "doctor", Option.none())),
    flag: after(held, store.flag(id, "amount_mismatch")),
    claim: after(held, store.claim(id)),
    free: after(held, store.free(id)),
    stuck: store.stuck(120)
  }
  return named("PayoutStore", uses)
}
