import { Context, DateTime, Duration, Effect, Layer, Option, Semaphore } from "effect"
import { createHash } from "node:crypto"
import { type Email, InvalidCredentials, loginLimits } from "../domain/Identity.ts"
import type { UserId } from "../domain/Ids.ts"
import { TooManyRequests, Unavailable } from "../domain/Problem.ts"
import { withDatabase } from "./Database.ts"
import { SecurityEvents } from "./IdentityEvents.ts"
import { IdentityStore } from "./IdentityStore.ts"

/** What an attempt came to: whose account it was about, if there is one, and what a right password gives. */
export interface Proof<A> {
  readonly account: UserId | undefined
  readonly proven: Option.Option<A>
}

/** How an account is named in the count: by its address, which need not belong to anybody. */
export const accountKey = (email: Email): Uint8Array => createHash("sha256").update(email).digest()

/**
 * Counts failed logins in the database: five per account and fifty per address within 15 minutes, successes not counted.
 * When the database cannot answer, nobody signs in.
 */
export class LoginLimit extends Context.Service<LoginLimit, {
  /**
   * Runs one attempt to prove a password. None is a failure: it is counted and becomes InvalidCredentials. Where the limit is reached
   * the attempt does not run, so a right password then says no more than a wrong one.
   */
  attempt<A, E, R>(
    who: { readonly email: Email; readonly address: string },
    proof: Effect.Effect<Proof<A>, E, R>
  ): Effect.Effect<A, E | InvalidCredentials | TooManyRequests | Unavailable, R>
}>()("midnight/services/identity/LoginLimit") {
  static readonly layer = Layer.effect(
    LoginLimit,
    Effect.gen(function*() {
      const store = yield* IdentityStore
      const events = yield* SecurityEvents
      const noteLockout = lockoutsOf(store, events)
      const locks = yield* Effect.all(Array.from({ length: 64 }, () => Semaphore.make(1)))

      // Check, hash and record of one account follow one another: interleaved, twenty guesses at once would all see a count
      // of zero. The number of locks is fixed, so that invented accounts cannot fill the memory.
      const oneAtATime = <A, E, R>(account: Uint8Array, work: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> => {
        const lock = locks[(account[0] ?? 0) % locks.length]
        return lock === undefined ? work : lock.withPermit(work)
      }

      const attempt = Effect.fnUntraced(function*<A, E, R>(
        account: Uint8Array,
        address: string,
        proof: Effect.Effect<Proof<A>, E, R>
      ) {
        const now = yield* DateTime.now
        const filled = yield* withDatabase(store.failuresFilling({ account, address }, now))
        if (Option.isSome(filled)) return yield* lockedOut(filled.value, now)
        const { account: userId, proven } = yield* proof
        if (Option.isSome(proven)) return proven.value
        yield* withDatabase(store.transaction(Effect.andThen(
          store.insertFailure({ account, address }, now),
          events.record({ kind: "login_failed", userId })
        )))
        return yield* new InvalidCredentials({})
      })

      return LoginLimit.of({
        attempt: ({ address, email }, proof) => {
          const account = accountKey(email)
          return oneAtATime(account, attempt(account, address, proof)).pipe(
            Effect.tapError((error) =>
              error instanceof TooManyRequests ? noteLockout(email, error.retry_after) : Effect.void
            ),
            Effect.timeoutOrElse({ duration: "10 seconds", orElse: busy })
          )
        }
      })
    })
  )
}

const mostLockouts = 1_000

/**
 * Keeps once that an account was locked out, not each attempt meanwhile: whoever goes on guessing must not fill a table that
 * only grows. Several processes keep it once each.
 */
const lockoutsOf = (store: IdentityStore["Service"], events: SecurityEvents["Service"]) => {
  const ends = new Map<string, number>()
  return Effect.fnUntraced(function*(email: Email, seconds: number) {
    const key = Buffer.from(accountKey(email)).toString("hex")
    const now = DateTime.toEpochMillis(yield* DateTime.now)
    if (now < (ends.get(key) ?? 0)) return
    // Before the rest, so that of several attempts at once one records it.
    ends.delete(key)
    ends.set(key, now + seconds * 1_000)
    const [oldest] = ends.keys()
    if (ends.size > mostLockouts && oldest !== undefined) ends.delete(oldest)
    const account = yield* withDatabase(store.findByEmail(email))
    const userId = Option.getOrUndefined(account)?.user.id
    yield* withDatabase(events.record({ kind: "login_locked", userId })).pipe(
      Effect.onError(() => Effect.sync(() => ends.delete(key)))
    )
  })
}

const busy = () => Effect.fail(new Unavailable({ detail: "Signing in takes too long at this moment.", retry_after: 2 }))

const lockedOut = (filledAt: DateTime.Utc, now: DateTime.Utc) => {
  const room = DateTime.addDuration(filledAt, loginLimits.window)
  return new TooManyRequests({
    detail: "Too many failed logins.",
    policy: "failed-logins",
    retry_after: Math.max(1, Math.ceil(Duration.toSeconds(DateTime.distance(now, room))))
  })
}
