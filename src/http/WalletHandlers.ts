import { DateTime, Effect, Option, Stream } from "effect"
import { Csv } from "effect/encoding"
import { HttpApiBuilder } from "effect/http-api"
import { Amount } from "../domain/Money.ts"
import { defaultLimit } from "../domain/Page.ts"
import { CurrentUser } from "../domain/Principal.ts"
import { type StatementEntry, Wallets } from "../services/Wallets.ts"
import { Api } from "./Api.ts"
import { Limits } from "./middleware/Limits.ts"
import { transfersByEmail } from "./middleware/Policies.ts"

const columns = ["createdAt", "kind", "amount", "currency", "balanceAfter", "memo", "transferId", "id"] as const

// A spreadsheet takes a cell that begins like this for a formula, and a memo is what another member wrote.
const harmless = (text: string) => /^[=+\-@\t\r]/.test(text) ? `'${text}` : text

const csv = <E>(entries: Stream.Stream<StatementEntry, E>) =>
  entries.pipe(
    Stream.map((entry) => ({
      createdAt: DateTime.formatIso(entry.createdAt),
      kind: entry.kind,
      amount: String(entry.amount),
      currency: entry.currency,
      balanceAfter: String(entry.balanceAfter),
      memo: harmless(Option.getOrElse(entry.memo, () => "")),
      transferId: entry.transferId,
      id: entry.id
    })),
    Stream.pipeThroughChannel(Csv.encode({ columns, headers: true }))
  )

export const WalletHandlers = HttpApiBuilder.group(
  Api,
  "wallet",
  Effect.fn(function*(handlers) {
    const wallets = yield* Wallets
    const limits = yield* Limits
    const countByEmail = Effect.flatMap(
      CurrentUser,
      ({ userId }) => limits.consume([{ policy: transfersByEmail, subject: userId }])
    )
    return handlers.handleAll({
      list: Effect.fnUntraced(function*() {
        const rows = yield* wallets.list((yield* CurrentUser).userId)
        return {
          wallets: rows.map(({ balance, currency, held, id }) => ({
            id,
            currency,
            balance,
            held,
            available: balance - held
          }))
        }
      }),
      balance: Effect.fnUntraced(function*({ query }) {
        const { userId } = yield* CurrentUser
        const stood = yield* wallets.balance(userId, query.currency, Option.fromUndefinedOr(query.at))
        return { ...stood, currency: query.currency, available: stood.balance - stood.held }
      }),
      statement: Effect.fnUntraced(function*({ query }) {
        const entries = yield* wallets.statement({
          userId: (yield* CurrentUser).userId,
          currency: query.currency,
          from: Option.fromUndefinedOr(query.from),
          to: Option.fromUndefinedOr(query.to)
        })
        return csv(entries)
      }),
      transactions: Effect.fnUntraced(function*({ query }) {
        const page = yield* wallets.entries({
          userId: (yield* CurrentUser).userId,
          currency: Option.fromUndefinedOr(query.currency),
          kind: Option.fromUndefinedOr(query.kind),
          from: Option.fromUndefinedOr(query.from),
          to: Option.fromUndefinedOr(query.to),
          cursor: query.cursor,
          limit: query.limit ?? defaultLimit
        })
        return { ...page, items: page.items.map((entry) => ({ ...entry, memo: Option.getOrNull(entry.memo) })) }
      }),
      transfer: Effect.fnUntraced(function*({ params }) {
        const row = yield* wallets.find(params.id, (yield* CurrentUser).userId)
        return { ...row, amount: Amount.make(row.amount), memo: Option.getOrNull(row.memo) }
      }),
      send: ({ payload }) =>
        "toUserId" in payload ? wallets.transfer(payload) : Effect.andThen(countByEmail, wallets.transfer(payload))
    })
  })
)
