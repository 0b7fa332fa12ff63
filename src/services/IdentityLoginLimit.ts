import { Context, DateTime, Duration, Effect, Layer, Option, Schedule, Semaphore } from "effect"
import { createHash } from "node:crypto"
import { type Email, InvalidCredentials } from "../domain/Identity.ts"
import type { UserId } from "../domain/Ids.ts"
import { TooManyRequests, Unavailable } from "../domain/Problem.ts"
import { withDatabase } from "./Database.ts"
import { SecurityEvents } from "./IdentityEvents.ts"
import { type Failure, IdentityFailureStore } from "./IdentityFailureStore.ts"
import { IdentityStore } from "./IdentityStore.ts"

/** What an attempt came to: whose account it was about, if there is one, and what a right password gives. */
export interface Proof<A> {
  readonly account: UserId | undefined
  readonly proven: Option.Option<A>
}

/** How an account is named in the count: by its address, which need not belong to anybody. */
export const accountKey = (email: Email): Uint8Array => createHash("sha256").update(email).digest()

/**
 * Counts failed logins in the database: five per account and fifty per address within 15 minutes, successes not counted. An
 * attempt that runs holds one of the places that are left, in all processes together, and gives it back when it succeeds.
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
      const failures = yield* IdentityFailureStore
      const events = yield* SecurityEvents
      const noteLockout = lockoutsOf(store, events)
      const accounts = yield* turns
      const addresses = yield* turns

      /** Waits while those that run hold the last places; who waits for a place of an address is the only one who asks for it. */
      const placed = Effect.fnUntraced(function*(attempt: Failure) {
        const ask = Effect.flatMap(
          DateTime.now,
          (now) => Effect.map(withDatabase(failures.place(attempt, now)), (place) => ({ place, now }))
        )
        const atAddress = ask.pipe(
          Effect.repeat({
            schedule: Schedule.spaced(pause),
            while: ({ place }) => place._tag === "Busy" && place.of === "address"
          }),
          oneAtATime(addresses, attempt.address)
        )
        while (true) {
          const { now, place } = yield* atAddress
          if (place._tag === "Full") return yield* lockedOut(place.until, now)
          if (place._tag === "Taken") return place.id
          yield* Effect.sleep(pause)
        }
      })

      const run = Effect.fnUntraced(function*<A, E, R>(attempt: Failure, proof: Effect.Effect<Proof<A>, E, R>) {
        const id = yield* placed(attempt)
        const free = Effect.ignore(withDatabase(failures.free(id)))
        // Nobody hears what an attempt came to that broke off.
        const { account: userId, proven } = yield* Effect.onError(proof, () => free)
        if (Option.isSome(proven)) {
          yield* free
          return proven.value
        }
        yield* withDatabase(store.transaction(Effect.andThen(
          failures.keep(id),
          events.record({ kind: "login_failed", userId })
        ))).pipe(Effect.uninterruptible)
        return yield* new InvalidCredentials({})
      })

      return LoginLimit.of({
        attempt: ({ address, email }, proof) => {
          const account = accountKey(email)
          // Guesses at one account follow one another here, so that they do not wait for each other in the database.
          return run({ account, address }, proof).pipe(
            oneAtATime(accounts, email),
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

/** How long those who wait for an attempt to end let it go on before they look again. */
const pause = "50 millis"

// The number of locks is fixed, so that invented accounts cannot fill the memory.
const turns = Effect.all(Array.from({ length: 256 }, () => Semaphore.make(1)))
const oneAtATime =
  (locks: ReadonlyArray<Semaphore.Semaphore>, key: string) => <A, E, R>(work: Effect.Effect<A, E, R>) => {
    const lock = locks[createHash("sha256").update(key).digest()[0] ?? 0]
    return lock === undefined ? work : lock.withPermit(work)
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

const lockedOut = (room: DateTime.Utc, now: DateTime.Utc) =>
  new TooManyRequests({
    detail: "Too many failed logins.",
    policy: "failed-logins",
    retry_after: Math.max(1, Math.ceil(Duration.toSeconds(DateTime.distance(now, room))))
  })
