import { hash, parseOptions, verify } from "@node-rs/argon2"
import { Context, Effect, Layer, type Option, Redacted, Semaphore } from "effect"
import { Unavailable } from "../domain/Problem.ts"
import { IdentitySettings } from "./IdentitySettings.ts"

/** `Algorithm.Argon2id`; a const enum of another package cannot be imported where every file is compiled alone. */
const argon2id = 2

// One mailbox's owner types the same characters on any keyboard; RFC 8265 asks for NFC before they are compared.
const octets = (password: Redacted.Redacted<string>): string => Redacted.value(password).normalize("NFC")

/**
 * Password hashing behind its own bound: two at a time and fifty waiting by default, then Unavailable at once. A hash costs 15 ms of a
 * core, so without the bound a burst of logins would starve everything else.
 */
export class Passwords extends Context.Service<Passwords, {
  hash(password: Redacted.Redacted<string>): Effect.Effect<string, Unavailable>
  /** Against none, which is an unknown account, it costs the same and is false. */
  verify(password: Redacted.Redacted<string>, stored: Option.Option<string>): Effect.Effect<boolean, Unavailable>
  /** Whether the stored hash was made with other parameters than today's. */
  isOutdated(stored: string): boolean
}>()("midnight/services/identity/Passwords") {
  static readonly layer = Layer.effect(
    Passwords,
    Effect.gen(function*() {
      const { concurrent, mostQueued, ...parameters } = (yield* IdentitySettings).hashing
      const semaphore = yield* Semaphore.make(concurrent)
      const dummy = yield* Effect.promise(() => hash("the password of an account that does not exist", parameters))
      let present = 0

      // Uninterruptible: a caller that leaves would free its place while the thread still works on its hash.
      const bounded = <A>(work: () => Promise<A>): Effect.Effect<A, Unavailable> =>
        Effect.suspend(() => {
          if (present >= concurrent + mostQueued) {
            return Effect.fail(
              new Unavailable({ detail: "Too many people are signing in at this moment.", retry_after: 1 })
            )
          }
          present += 1
          return Effect.uninterruptible(Effect.promise(work)).pipe(
            semaphore.withPermit,
            Effect.ensuring(Effect.sync(() => void (present -= 1)))
          )
        })

      return Passwords.of({
        hash: Effect.fn("Passwords.hash")((password) => bounded(() => hash(octets(password), parameters))),
        verify: Effect.fn("Passwords.verify")((password, stored) =>
          stored._tag === "Some"
            ? bounded(() => verify(stored.value, octets(password)))
            : Effect.as(bounded(() => verify(dummy, octets(password))), false)
        ),
        isOutdated: (stored) => {
          const made = parseOptions(stored)
          return made.algorithm !== argon2id || made.memoryCost !== parameters.memoryCost
            || made.timeCost !== parameters.timeCost || made.parallelism !== parameters.parallelism
        }
      })
    })
  )
}
