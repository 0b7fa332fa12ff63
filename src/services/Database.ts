import { Clock, Context, Data, Effect, Exit, Predicate, Schedule, Schema } from "effect"
import type { SqlError } from "effect/sql"
import { Unavailable } from "../domain/Problem.ts"
import { CurrentRequest } from "../domain/Request.ts"

const retries = Schedule.exponential("100 millis").pipe(
  Schedule.jittered,
  Schedule.upTo({ times: 2 })
)

// SQLSTATEs of a database that starts, stops or has no place left: 57P01 to 57P05, 53300 and its class. The client takes
// them for unknown errors that are not retryable; as the answer to a request they are what a lost connection is.
const passingState = /^(57P0[1-5]|53...)$/

/** The cause of the SqlError which a pool fails with when none of its connections came free in time. */
export class NoConnection extends Data.TaggedError("NoConnection") {}

const stateOf = (cause: unknown): string => Predicate.hasProperty(cause, "code") ? String(cause.code) : ""

// What a caller may expect to pass: the database is away, overloaded or ended a losing transaction.
const isTemporary = (error: SqlError.SqlError): boolean =>
  error.isRetryable || error.reason._tag === "ConnectionError" || error.reason._tag === "StatementTimeoutError"
  // A role whose password or rights somebody is changing: an operator's matter, and for the caller the database is away.
  || error.reason._tag === "AuthenticationError"
  || passingState.test(stateOf(error.reason.cause)) || error.reason.cause instanceof NoConnection

/**
 * The edge between a store's SqlError and a service's typed errors. `work` is one whole transaction: it is repeated at
 * most twice where PostgreSQL says a repetition can succeed (40001, 40P01, lock timeout), is given four seconds, or what its request has left of its time, and ends as
 * Unavailable when the database cannot answer. Any other SqlError is a defect: a query of ours is wrong.
 */
export const withDatabase = <A, E, R>(
  work: Effect.Effect<A, E | SqlError.SqlError, R>
): Effect.Effect<A, Exclude<E, SqlError.SqlError> | Unavailable, R> =>
  work.pipe(
    Effect.retry({ schedule: retries, while: (error) => isSqlError(error) && error.isRetryable }),
    Effect.catch((error): Effect.Effect<never, Exclude<E, SqlError.SqlError> | Unavailable> =>
      isOurs(error)
        ? Effect.fail(error)
        : isSqlError(error) && isTemporary(error)
        ? Effect.fail(away)
        : Effect.die(error)
    ),
    within(4_000)
  )

// What a request has done by now, such as a call to a provider, still has to be written down.
const leastMillis = 500

/** Milliseconds until the answer of the request is due, at most this many. */
const left = (context: Context.Context<never>, most: number): number => {
  const { endsAt } = Context.get(context, CurrentRequest)
  return Math.max(leastMillis, Math.min(most, endsAt - Context.get(context, Clock.Clock).currentTimeMillisUnsafe()))
}

/**
 * Like a timeout, which does not wait for what it gives up: the client tries for five seconds to cancel a statement on a
 * database that hangs. The connection is in use until then, the caller is not.
 */
const within = (limit: number) => <A, E, R>(work: Effect.Effect<A, E, R>): Effect.Effect<A, E | Unavailable, R> =>
  Effect.contextWith((context: Context.Context<R>) =>
    Effect.callback<A, E | Unavailable>((resume) => {
      const fork = Effect.runForkWith(context)
      const working = fork(work)
      const patience = fork(Effect.sleep(left(context, limit)))
      working.addObserver((exit) => {
        resume(exit)
        patience.interruptUnsafe()
      })
      patience.addObserver((exit) => {
        if (Exit.isFailure(exit)) return
        resume(Effect.fail(away))
        working.interruptUnsafe()
      })
      return Effect.sync(() => {
        patience.interruptUnsafe()
        working.interruptUnsafe()
      })
    })
  )

export const away = new Unavailable({ detail: "The database did not answer; try again.", retry_after: 1 })

const isOurs = <E>(error: E | SqlError.SqlError): error is Exclude<E, SqlError.SqlError> => !isSqlError(error)

const isSqlError = (error: unknown): error is SqlError.SqlError => Predicate.isTagged(error, "SqlError")

/** Rows that do not decode are a fault of the schema or of the store, never of the caller. */
export const decoded = <A, E, R>(
  rows: Effect.Effect<A, E | Schema.SchemaError, R>
): Effect.Effect<A, Exclude<E, Schema.SchemaError>, R> =>
  Effect.catch(rows, (error) => decodes(error) ? Effect.fail(error) : Effect.die(error))

const decodes = <E>(error: E | Schema.SchemaError): error is Exclude<E, Schema.SchemaError> =>
  !Schema.isSchemaError(error)
