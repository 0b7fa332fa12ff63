import { Context, DateTime, Effect, Layer, Option, Schema } from "effect"
import type { TransferId } from "../domain/Ids.ts"
import {
  type AdjustmentRequest,
  type LedgerAct,
  ReversalExceeded,
  type ReversalRequest
} from "../domain/LedgerAdmin.ts"
import { Amount } from "../domain/Money.ts"
import { IdempotencyKeyReused, MoneyRequest } from "../domain/MoneyRequest.ts"
import { cursorOf, cut, PositionNumber } from "../domain/Page.ts"
import { type InvalidRequest, NotFound, type Unavailable } from "../domain/Problem.ts"
import { between, clearingOf, type PostingConflict, walletOf } from "../domain/Wallet.ts"
import { withDatabase } from "./Database.ts"
import { Ledger, type PostError } from "./Ledger.ts"
import { type AuditReport, LedgerAudit } from "./LedgerAudit.ts"
import { type ActRow, LedgerHistoryStore } from "./LedgerHistoryStore.ts"
import { Users } from "./Users.ts"

const position = cursorOf(Schema.Struct({ seq: PositionNumber }))

type ActError = Exclude<PostError, PostingConflict> | IdempotencyKeyReused | NotFound

/**
 * What administrators do on the ledger. Each act names its reason and who did it in the posting itself, and so in the hash
 * chain: the ledger is the audit log of what was done to it.
 */
export class LedgerAdmin extends Context.Service<LedgerAdmin, {
  adjust(request: AdjustmentRequest): Effect.Effect<LedgerAct, ActError, MoneyRequest>
  reverse(id: TransferId, request: ReversalRequest): Effect.Effect<LedgerAct, ActError | ReversalExceeded, MoneyRequest>
  acts(query: { readonly cursor: string | undefined; readonly limit: number }): Effect.Effect<
    { readonly items: ReadonlyArray<LedgerAct>; readonly nextCursor: string | null },
    InvalidRequest | Unavailable
  >
  readonly invariants: Effect.Effect<AuditReport, Unavailable>
}>()("midnight/services/wallet/LedgerAdmin") {
  static readonly layer = Layer.effect(
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

      const adjust = Effect.fn("LedgerAdmin.adjust")(function*(request: AdjustmentRequest) {
        const { digest, scope, userId } = yield* MoneyRequest
        if (!(yield* users.exists(request.userId))) return yield* new NotFound({ detail: "There is no such user." })
        const [wallet, other] = [walletOf(request.userId), clearingOf("adjustments")]
        const [from, to] = request.amount > 0 ? [other, wallet] : [wallet, other]
        const posted = yield* ledger.post(between({
          key: `adjustment:${scope}`,
          digest,
          kind: "adjustment",
          from,
          to,
          amount: Amount.make(BigInt(Math.abs(request.amount))),
          currency: request.currency,
          reference: { by: userId, reason: request.reason }
        })).pipe(Effect.catchTag("PostingConflict", reused))
        return yield* told(posted)
      })

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

      const acts = Effect.fn("LedgerAdmin.acts")(function*(query: { cursor: string | undefined; limit: number }) {
        const after = yield* position.decode(query.cursor)
        const rows = yield* withDatabase(history.acts(Option.map(after, ({ seq }) => seq), query.limit + 1))
        const page = yield* cut(rows, query.limit, ({ seq }) => position.encode({ seq }))
        return { items: page.items.map(viewOf), nextCursor: page.nextCursor }
      })

      return LedgerAdmin.of({ adjust, reverse, acts, invariants: audit.report })
    })
  )
}

const viewOf = ({ seq: _, ...row }: ActRow): LedgerAct => ({
  ...row,
  reverses: Option.getOrNull(row.reverses),
  createdAt: DateTime.toUtc(row.createdAt)
})
