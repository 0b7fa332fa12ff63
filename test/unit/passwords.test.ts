import { assert, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { Unavailable } from "../../src/domain/Problem.ts"
import { Passwords } from "../../src/services/Passwords.ts"

it.effect("hashes two at a time, lets fifty wait, and turns the rest away at once", () =>
  Effect.gen(function*() {
    const passwords = yield* Passwords
    const password = Redacted.make("a long enough passphrase")
    const hash = Effect.result(passwords.hash(password))
    const results = yield* Effect.all(Array.from({ length: 55 }, () => hash), { concurrency: "unbounded" })
    const refusals = results.flatMap((one) => one._tag === "Failure" ? [one.failure] : [])
    assert.strictEqual(refusals.length, 3)
    for (const refusal of refusals) assert.instanceOf(refusal, Unavailable)
    assert.deepStrictEqual(results.slice(0, 52).map(({ _tag }) => _tag), Array.from({ length: 52 }, () => "Success"))
    assert.strictEqual((yield* hash)._tag, "Success", "there is room again")
  }).pipe(Effect.provide(Passwords.layer)))
