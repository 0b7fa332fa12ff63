import { Effect, Option } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { Amount } from "../domain/Money.ts"
import { defaultLimit } from "../domain/Page.ts"
import { CurrentUser } from "../domain/Principal.ts"
import { Wallets } from "../services/Wallets.ts"
import { Api } from "./Api.ts"

export const WalletHandlers = HttpApiBuilder.group(
  Api,
  "wallet",
  Effect.fn(function*(handlers) {
    const wallets = yield* Wallets
    return handlers.handleAll({
      list: Effect.fnUntraced(function*() {
        const rows = yield* wallets.list((yield* CurrentUser).userId)
        return { wallets: rows.map((row) => ({ ...row, available: row.balance - row.held })) }
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
      send: ({ payload }) => wallets.transfer(payload)
    })
  })
)
