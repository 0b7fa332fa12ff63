import { Context, DateTime, Effect, Layer, Option, Result } from "effect"
import type { TransferId } from "../domain/Ids.ts"
import {
  type AdjustmentRequest,
  type LedgerAct,
  ReversalExceeded,
  type ReversalRequest
} from "../domain/LedgerAdmin.ts"
import { Amount, type Currency, UnsupportedCurrency } from "../domain/Money.ts"
import { IdempotencyKeyReused, MoneyRequest } from "../domain/MoneyRequest.ts"
import { NotFound, type Unavailable } from "../domain/Problem.ts"
import { between, clearingOf, type PostingConflict, walletOf } from "../domain/Wallet.ts"
import { withDatabase } from "./Database.ts"
import { Ledger, type PostError } from "./Ledger.ts"
import { type AuditReport, LedgerAudit } from "./LedgerAudit.ts"
import { type ActRow, LedgerHistoryStore } from "./LedgerHistoryStore.ts"
import { Users } from "./Users.ts"

type ActError = Exclude<PostError, PostingConflict> | IdempotencyKeyReused | NotFound

/**
 * What administrators do on the ledger. Each act names its reason and who did it in the posting itself, and so in the hash
 * chain: the ledger is the audit log of what was done to it.
 */
export class LedgerAdmin extends Context.Service<LedgerAdmin, {
  adjust(request: AdjustmentRequest): Effect.Effect<LedgerAct, ActError | UnsupportedCurrency, MoneyRequest>
  reverse(id: TransferId, request: ReversalRequest): Effect.Effect<LedgerAct, ActError | ReversalExceeded, MoneyRequest>
  /** Newest first, older than the one at `before`. */
  acts(before: Option.Option<bigint>, limit: number): Effect.Effect<
    ReadonlyArray<{ readonly seq: bigint; readonly act: LedgerAct }>,
    Unavailable
  >
  readonly invariants: Effect.Effect<AuditReport, Unavailable>
}>()("midnight/services/wallet/LedgerAdmin") {
  static readonly layer = (currencies: ReadonlyArray<Currency>) =>
    Layer.effect(
      LedgerAdmin,
      Effect.gen(function*() {
        const ledger = yield* Ledger
        const history = yield* LedgerHistoryStore
        const audit = yield* LedgerAudit
        const users = yield* Users

        const told = Effect.fnUntraced(function*(posted: { readonly id: TransferId; readonly replayed: boolean }) {
          if (posted.replayed) yield* (yield* MoneyRequest).replayed
          const row = yield* withDatabase(history.act(posted.id))
          return Option.isSome(row) ? viewOf(row.value) : yield* Effect.die(new Error(`act ${posted.id} is not there`))
        })
        const reused = () => new IdempotencyKeyReused({ detail: "Take a new key for a new request." })

        const acceptable = Effect.fnUntraced(function*({ currency, userId }: AdjustmentRequest) {
          if (!currencies.includes(currency)) {
            return yield* new UnsupportedCurrency({ currency, allowed: [...currencies] })
          }
          if (!(yield* users.exists(userId))) return yield* new NotFound({ detail: "There is no such user." })
        })

        const adjust = Effect.fn("LedgerAdmin.adjust")(function*(request: AdjustmentRequest) {
          const { digest, scope, userId } = yield* MoneyRequest
          const key = `adjustment:${scope}`
          const accepted = yield* Effect.result(acceptable(request))
          if (Result.isFailure(accepted)) {
            // A retry whose member has left since, or its currency, still asks for what was posted.
            const before = yield* accepted.failure._tag === "Unavailable" ? noneKnown : ledger.posted(key, digest)
            return yield* Option.isSome(before) ? told({ id: before.value, replayed: true }) : accepted.failure
          }
          const [wallet, other] = [walletOf(request.userId), clearingOf("adjustments")]
          const [from, to] = request.amount > 0 ? [other, wallet] : [wallet, other]
          const posted = yield* ledger.post(between({
            key,
            digest,
            kind: "adjustment",
            from,
            to,
            amount: Amount.make(BigInt(Math.abs(request.amount))),
            currency: request.currency,
            reference: { by: userId, reason: request.reason }
          }))
          return yield* told(posted)
        }, Effect.catchTag("PostingConflict", reused))

        const reverse = Effect.fn("LedgerAdmin.reverse")(function*(id: TransferId, request: ReversalRequest) {
          const { digest, scope, userId } = yield* MoneyRequest
          const posted = yield* ledger.reverse({
            key: `reversal:${scope}`,
            digest,
            transfer: id,
            amount: Option.fromUndefinedOr(request.amount),
            reference: { by: userId, reason: request.reason }
          }).pipe(Effect.catchTag("PostingConflict", reused))
          return yield* told(posted)
        })

        const acts = Effect.fn("LedgerAdmin.acts")(function*(before: Option.Option<bigint>, limit: number) {
          const rows = yield* withDatabase(history.acts(before, limit))
          return rows.map((row) => ({ seq: row.seq, act: viewOf(row) }))
        })

        return LedgerAdmin.of({ adjust, reverse, acts, invariants: audit.report })
      })
    )
}

const noneKnown = Effect.succeed(Option.none<TransferId>())

const viewOf = ({ seq: _, ...row }: ActRow): LedgerAct => ({
  ...row,
  reverses: Option.getOrNull(row.reverses),
  createdAt: DateTime.toUtc(row.createdAt)
})
