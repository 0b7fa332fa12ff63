import { Context, Effect, Layer, Option, Redacted, Schema } from "effect"
import type { PayoutId } from "../domain/Ids.ts"
import { decide } from "../domain/MoneyOut.ts"
import { ProviderUnavailable } from "../domain/Payments.ts"
import { outOf, type Payout, PayoutDestination, placeOf, stageOf } from "../domain/Payouts.ts"
import type { Unavailable } from "../domain/Problem.ts"
import { withDatabase } from "./Database.ts"
import type { ProviderError, ProviderPayout } from "./Gateway.ts"
import { type Outbound, OutboundMoney } from "./OutboundMoney.ts"
import { PayoutStore } from "./PayoutStore.ts"
import { Sealed } from "./Sealed.ts"

type NotNow = ProviderUnavailable | Unavailable

const opened = Schema.decodeEffect(Schema.fromJsonString(PayoutDestination))
const outbound = (payout: Payout): Outbound => ({ ...payout, kind: "payout" })
// One that waits at the provider for a person is on its way as much as any other.
const stages = { requires_action: "pending", processing: "pending", paid: "done", failed: "failed" } as const

/**
 * Brings payouts to the state that their provider holds. Request, event, decision and sweep all end here; each step can be
 * repeated, by several at once: the provider knows the payout by its id, and the ledger's permanent keys book it once.
 */
export class PayoutProgress extends Context.Service<PayoutProgress, {
  advance(id: PayoutId): Effect.Effect<void, NotNow>
}>()("midnight/services/payments/PayoutProgress") {
  static readonly layer = Layer.effect(
    PayoutProgress,
    Effect.gen(function*() {
      const store = yield* PayoutStore
      const money = yield* OutboundMoney
      const sealed = yield* Sealed

      const send = Effect.fnUntraced(
        function*(payout: Payout): Effect.fn.Return<ProviderPayout, ProviderError | Unavailable> {
          const { amount, currency, id } = payout
          const gateway = yield* money.gateway(payout.provider)
          if (Option.isSome(payout.providerReference)) {
            return yield* gateway.retrievePayout(payout.providerReference.value)
          }
          let recipient = Option.getOrUndefined(payout.recipient)
          if (recipient === undefined) {
            const text = yield* sealed.open(yield* withDatabase(store.destination(id)), placeOf(id))
            const destination = yield* Effect.orDie(opened(Redacted.value(text)))
            recipient = yield* gateway.createRecipient({ payoutId: id, destination, currency })
            yield* withDatabase(store.recipient(id, recipient))
          }
          return yield* gateway.createPayout({ payoutId: id, recipient, amount, currency })
        }
      )

      const giveUp = Effect.fnUntraced(function*(payout: Payout, reason: string) {
        yield* money.release(outbound(payout))
        yield* withDatabase(store.fail(payout.id, reason, Option.none()))
      })

      const carryOut = Effect.fnUntraced(function*(payout: Payout, report: ProviderPayout) {
        const decision = decide(outOf(payout), { ...report, stage: stages[report.status] })
        yield* Effect.annotateCurrentSpan({ "midnight.payout.decision": decision._tag })
        const why = Option.getOrElse(report.failureReason, () => "the provider says that it failed")
        switch (decision._tag) {
          case "Keep":
            return
          case "Settle":
            return yield* withDatabase(store.settle(payout.id, yield* money.capture(outbound(payout))))
          case "Release":
            return yield* giveUp(payout, why)
          case "BookBack":
            return yield* withDatabase(
              store.fail(payout.id, why, Option.some(yield* money.bookBack(outbound(payout))))
            )
          case "Flag":
            yield* Effect.logError("A provider's payout is not what was asked; it was not booked", {
              payout_id: payout.id,
              flag: decision.flag
            })
            return yield* withDatabase(store.flag(payout.id, decision.flag))
        }
      })

      const proceed = Effect.fnUntraced(function*(payout: Payout) {
        const unclear = (detail: string) =>
          Effect.fail(new ProviderUnavailable({ provider: payout.provider, retry_after: 60, detail }))
        const report = yield* send(payout).pipe(
          Effect.map(Option.some),
          Effect.catchTags({
            // Asked for the first time it will not be; a payout that it once knew decides nothing by being forgotten.
            ProviderRefused: (refusal) =>
              Option.isSome(payout.providerReference)
                ? unclear(refusal.detail)
                : Effect.as(giveUp(payout, refusal.detail), Option.none()),
            ProviderNonsense: (error) => unclear(error.detail)
          })
        )
        if (Option.isNone(report)) return
        yield* withDatabase(store.named(payout.id, report.value.reference))
        yield* carryOut(payout, report.value)
      })

      const step: PayoutProgress["Service"]["advance"] = Effect.fnUntraced(function*(id) {
        const known = yield* withDatabase(store.find(id))
        if (Option.isNone(known)) {
          return yield* Effect.logWarning("An event names a payout that is not ours", { payout_id: id })
        }
        const payout = known.value
        if (Option.isSome(payout.flag)) return
        if (!payout.held && stageOf[payout.status] === "pending") {
          // Its request did not live to hold the money.
          return yield* money.hold(outbound(payout)).pipe(
            Effect.andThen(withDatabase(store.hold(id))),
            Effect.andThen(Effect.suspend(() => step(id))),
            Effect.catchTag(
              "InsufficientFunds",
              () => withDatabase(store.fail(id, "the wallet did not hold enough", Option.none()))
            )
          )
        }
        switch (payout.status) {
          case "pending_approval":
            return
          case "canceled":
            return yield* money.release(outbound(payout))
          case "failed":
            return Option.isSome(payout.providerReference) ? yield* proceed(payout) : undefined
          case "processing":
          case "paid":
            return yield* proceed(payout)
        }
      })

      const advance = Effect.fn("PayoutProgress.advance")(function*(id: PayoutId) {
        yield* Effect.annotateCurrentSpan({ "midnight.payout.id": id })
        yield* money.alone({ take: store.claim(id), free: store.free(id) }, step(id))
      })

      return PayoutProgress.of({ advance })
    })
  )
}
