import { Effect, Layer } from "effect"
import { withDatabase } from "../services/Database.ts"
import { Health } from "../services/Health.ts"
import { Ledger } from "../services/Ledger.ts"
import { LedgerAdmin } from "../services/LedgerAdmin.ts"
import { LedgerAudit } from "../services/LedgerAudit.ts"
import { LedgerHistoryStore } from "../services/LedgerHistoryStore.ts"
import { LedgerPatrolStore } from "../services/LedgerPatrolStore.ts"
import { LedgerStore } from "../services/LedgerStore.ts"
import { LedgerWriter } from "../services/LedgerWriter.ts"
import { Wallets } from "../services/Wallets.ts"
import { ledgerSettings } from "./BulkheadSettings.ts"
import * as Settings from "./Config.ts"
import { patrolling } from "./LedgerPatrol.ts"
import { pool } from "./Pools.ts"
import { every, resting, supervised } from "./Supervision.ts"

const expiry = Effect.flatMap(
  LedgerStore,
  (store) => every("10 seconds", Effect.ignore(withDatabase(store.expireHolds)))
)

/**
 * Links of 5,000 transfers at most, until none is left; then again half a second later. After a full one it rests for as long as
 * that took: whoever catches up with many is in nobody's way, and still faster than any number of postings.
 */
const chaining = Effect.gen(function*() {
  const store = yield* LedgerStore
  const link = withDatabase(store.chain(5_000))
  const round = Effect.gen(function*() {
    let chained = yield* link
    while (chained === 5_000) chained = yield* resting(1, link)
  })
  return yield* every("500 millis", Effect.ignore(round))
})

// A second of silence from PostgreSQL is a ledger that cannot post, and `/health` must say so before the next payment does.
const probe = Effect.gen(function*() {
  const store = yield* LedgerStore
  const health = yield* Health
  const round = store.alive.pipe(
    Effect.timeout("1 second"),
    Effect.andThen(health.report("wallet", "database", "ok")),
    Effect.catch(() => health.report("wallet", "database", "down"))
  )
  return yield* every("500 millis", round)
})

/** The wallet bulkhead: the ledger with its one writer, and what members do with their wallets. */
export const WalletLive = Layer.unwrap(
  Effect.gen(function*() {
    const currencies = yield* Settings.currencies
    const background = Layer.mergeAll(
      supervised("wallet", "writer", Effect.flatMap(LedgerWriter, (writer) => writer.run)),
      supervised("wallet", "expiry", expiry),
      supervised("wallet", "chain", chaining),
      supervised("wallet", "probe", probe),
      supervised("wallet", "audit", patrolling(yield* Settings.auditAfter))
    )
    return background.pipe(
      Layer.provideMerge(Layer.merge(Wallets.layer(currencies), LedgerAdmin.layer(currencies))),
      Layer.provideMerge(Ledger.layer),
      Layer.provideMerge(
        LedgerWriter.layer.pipe(
          Layer.provide(Layer.fresh(LedgerStore.layer)),
          Layer.provide(pool("walletWriter")),
          Layer.provide(ledgerSettings)
        )
      ),
      // The pool is provided, not merged: no other bulkhead can come by its connections.
      Layer.provideMerge(
        Layer.mergeAll(LedgerStore.layer, LedgerHistoryStore.layer, LedgerAudit.layer, LedgerPatrolStore.layer).pipe(
          Layer.provide(pool("wallet"))
        )
      )
    )
  })
)
