import { Effect, Layer } from "effect"
import { withDatabase } from "../services/Database.ts"
import { Ledger } from "../services/Ledger.ts"
import { LedgerStore } from "../services/LedgerStore.ts"
import { LedgerWriter } from "../services/LedgerWriter.ts"
import { Wallets } from "../services/Wallets.ts"
import * as Settings from "./Config.ts"
import { pool } from "./Pools.ts"
import { every, supervised } from "./Supervision.ts"

const expiry = Effect.flatMap(
  LedgerStore,
  (store) => every("10 seconds", Effect.ignore(withDatabase(store.expireHolds)))
)

/** The wallet bulkhead: the ledger with its one writer, and what members do with their wallets. */
export const WalletLive = Layer.unwrap(
  Effect.gen(function*() {
    const currencies = yield* Settings.currencies
    const background = Layer.merge(
      supervised("wallet", "writer", Effect.flatMap(LedgerWriter, (writer) => writer.run)),
      supervised("wallet", "expiry", expiry)
    )
    return background.pipe(
      Layer.provideMerge(Wallets.layer(currencies)),
      Layer.provideMerge(Ledger.layer),
      Layer.provideMerge(LedgerWriter.layer),
      // The pool is provided, not merged: no other bulkhead can come by its connections.
      Layer.provideMerge(LedgerStore.layer.pipe(Layer.provide(pool("wallet"))))
    )
  })
)
