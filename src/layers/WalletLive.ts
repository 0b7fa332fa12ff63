import { Clock, type Duration, Effect, Layer, Metric, Schedule } from "effect"
import { withDatabase } from "../services/Database.ts"
import { Health } from "../services/Health.ts"
import { Ledger } from "../services/Ledger.ts"
import { LedgerAdmin } from "../services/LedgerAdmin.ts"
import { LedgerAudit } from "../services/LedgerAudit.ts"
import { LedgerHistoryStore } from "../services/LedgerHistoryStore.ts"
import { LedgerPatrolStore, type Slice, walkNames } from "../services/LedgerPatrolStore.ts"
import { LedgerStore } from "../services/LedgerStore.ts"
import { LedgerWriter } from "../services/LedgerWriter.ts"
import { Wallets } from "../services/Wallets.ts"
import { ledgerSettings } from "./BulkheadSettings.ts"
import * as Settings from "./Config.ts"
import { pool } from "./Pools.ts"
import { every, supervised } from "./Supervision.ts"

const expiry = Effect.flatMap(
  LedgerStore,
  (store) => every("10 seconds", Effect.ignore(withDatabase(store.expireHolds)))
)

/** Waits afterwards for so many times what the work took. */
const resting = <A, E, R>(times: number, work: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const began = yield* Clock.currentTimeMillis
    const done = yield* work
    yield* Effect.sleep(times * ((yield* Clock.currentTimeMillis) - began))
    return done
  })

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

const brokenInvariants = Metric.gauge("midnight.ledger.broken_invariants", {
  description: "Invariants of the ledger that the last audit found broken; 0 is well"
})

// A database that is away for a moment does not end a look through the whole ledger, which may take an hour.
const patience = { times: 30, schedule: Schedule.spaced("10 seconds") }

/** The whole ledger, slice by slice, in a tenth of a core's time; then again. `npm run audit` and the admin route answer at once. */
const auditing = Effect.fnUntraced(function*(startsAfter: Duration.Input) {
  const patrol = yield* LedgerPatrolStore
  const round = Effect.gen(function*() {
    const broken = new Map<string, string>()
    for (const walk of walkNames) {
      let place: string | null = null
      do {
        const slice: Slice = yield* resting(9, withDatabase(patrol.slice(walk, place)).pipe(Effect.retry(patience)))
        for (const [invariant, row] of slice.broken) {
          if (!broken.has(invariant)) yield* Effect.logError(`the audit found ${invariant} broken`, row)
          broken.set(invariant, row)
        }
        if (broken.size > 0) yield* Metric.update(brokenInvariants, broken.size)
        place = slice.upTo
      } while (place !== null)
    }
    yield* Metric.update(brokenInvariants, broken.size)
  })
  yield* Effect.sleep(startsAfter)
  return yield* every("15 minutes", Effect.ignore(round))
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
      supervised("wallet", "audit", auditing(yield* Settings.auditAfter))
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
