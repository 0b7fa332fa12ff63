import { type Cause, type Duration, Effect, Metric, Schedule } from "effect"
import type { SqlError } from "effect/sql"
import { LedgerPatrolStore, type WalkName, walkNames } from "../services/LedgerPatrolStore.ts"
import { every, resting } from "./Supervision.ts"

const brokenInvariants = Metric.gauge("midnight.ledger.broken_invariants", {
  description: "Invariants of the ledger that the last look through a part of it found broken; 0 is well"
})

// A database that is away for a moment does not end a look through the whole ledger, which may take an hour.
const patience = { times: 30, schedule: Schedule.spaced("10 seconds") }

/** How far a walk has come in this round, what it found, and whether a part of it could not be looked at. */
interface Walking {
  readonly walk: WalkName
  readonly broken: Set<string>
  place: string | null
  failed: boolean
}

const fails = Effect.fnUntraced(function*(walking: Walking, error: SqlError.SqlError | Cause.TimeoutError) {
  if (!walking.failed) {
    yield* Effect.logError(`the audit could not look at a part of the ledger's ${walking.walk}`, error.message)
  }
  walking.failed = true
})

const found = Effect.fnUntraced(function*(walking: Walking, invariant: string, row: string) {
  if (!walking.broken.has(invariant)) yield* Effect.logError(`the audit found ${invariant} broken`, row)
  walking.broken.add(invariant)
})

/** Takes a walk one slice on; whether there may be more of it. */
const step = Effect.fnUntraced(function*(walking: Walking, rest: number) {
  const patrol = yield* LedgerPatrolStore
  const { place, walk } = walking
  const gauge = Metric.withAttributes(brokenInvariants, { walk })
  const end = resting(rest, patrol.end(walk, place).pipe(Effect.timeout("30 seconds"))).pipe(Effect.retry(patience))
  const upTo = yield* Effect.catch(end, (error) => Effect.as(fails(walking, error), undefined))
  // Whatever it is, the other walks do not wait for it, and the next round tries again.
  if (upTo === undefined) return false
  if (upTo === null) {
    // Nobody is told that all is well where a part was not looked at.
    if (!walking.failed) yield* Metric.update(gauge, walking.broken.size)
    return false
  }
  const look = patrol.broken(walk, place, upTo).pipe(Effect.timeout("30 seconds"))
  const rows = yield* resting(rest, Effect.catch(look, (error) => Effect.as(fails(walking, error), [])))
  for (const [invariant, row] of rows) yield* found(walking, invariant, row)
  if (walking.broken.size > 0) yield* Metric.update(gauge, walking.broken.size)
  walking.place = upTo
  return true
})

/**
 * Looks through the whole ledger once, the walks in turns and slice by slice: neither a long walk nor one that fails keeps what
 * the others find. A slice that cannot be read is left out, and said so. After each it rests so many times what that took.
 */
export const patrol = Effect.fnUntraced(function*(rest: number) {
  let going = walkNames.map((walk): Walking => ({ walk, broken: new Set(), place: null, failed: false }))
  while (going.length > 0) going = yield* Effect.filter(going, (walking) => step(walking, rest))
})

/** In a tenth of a core's time; then again. `npm run audit` and the admin route answer at once. */
export const patrolling = (startsAfter: Duration.Input) =>
  Effect.andThen(Effect.sleep(startsAfter), every("15 minutes", patrol(9)))
