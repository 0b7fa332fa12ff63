import { assert, layer } from "@effect/vitest"
import { Context, Effect, Fiber, Layer, Option } from "effect"
import { Email } from "../../src/domain/Identity.ts"
import { IdentityServices } from "../../src/layers/IdentityLive.ts"
import { Identity } from "../../src/services/Identity.ts"
import { LoginLimit } from "../../src/services/IdentityLoginLimit.ts"
import { identityEnvironment, IdentityGround } from "../layers/IdentityGround.ts"
import { as, device, right, wrong } from "../layers/Members.ts"
import { testConfig } from "../layers/TestConfig.ts"

/** Identity once more, over a pool and a memory of its own, as a second API process has it. */
const another = Layer.build(Layer.fresh(IdentityServices).pipe(Layer.provide(testConfig(identityEnvironment))))
const processes = Effect.gen(function*() {
  const [one, other] = [yield* another, yield* another]
  return [Context.get(one, Identity), Context.get(other, Identity)] as const
})

const guess = (identity: Identity["Service"], email: string, address: string, password = wrong) =>
  identity.login({ email: Email.make(email), password, device: device(address) }).pipe(
    Effect.match({ onFailure: ({ _tag }) => _tag, onSuccess: () => "SignedIn" as const })
  )
const inParallel = <A, E, R>(attempts: ReadonlyArray<Effect.Effect<A, E, R>>) =>
  Effect.all(attempts, { concurrency: "unbounded" })
const count = (tags: ReadonlyArray<string>, tag: string) => tags.filter((one) => one === tag).length

const registered = Effect.fnUntraced(function*(identity: Identity["Service"], name: string) {
  const email = Email.make(`${name}@example.org`)
  yield* identity.register({ email, password: right, displayName: Option.none() }, device())
  return email
})
const places = (address: string) =>
  as("owner", "SELECT runs_until IS NULL AS failed FROM identity.login_failures WHERE address = $1", [address])

layer(IdentityGround, { timeout: "60 seconds", excludeTestServices: true })("the limit of failed logins", (it) => {
  it.effect("lets five guesses at an account through, however many processes are asked at once", () =>
    Effect.gen(function*() {
      const [one, other] = yield* processes
      const email = yield* registered(one, "besieged")
      const tags = yield* inParallel(
        Array.from({ length: 20 }, (_, n) => guess(n % 2 === 0 ? one : other, email, `198.51.100.${n}`))
      )
      assert.deepStrictEqual([count(tags, "InvalidCredentials"), count(tags, "TooManyRequests")], [5, 15])
    }).pipe(Effect.scoped))

  it.effect(
    "lets fifty guesses from an address through, whatever accounts they are at, in all processes together",
    () =>
      Effect.gen(function*() {
        const address = "203.0.113.1"
        const [one, other] = yield* processes
        const tags = yield* inParallel(
          Array.from({ length: 80 }, (_, n) => guess(n % 2 === 0 ? one : other, `nobody-${n}@example.org`, address))
        )
        assert.deepStrictEqual([count(tags, "InvalidCredentials"), count(tags, "TooManyRequests")], [50, 30])
        assert.lengthOf(yield* places(address), 50)
      }).pipe(Effect.scoped),
    90_000
  )

  it.effect("makes good logins wait for the last place, and turns none of them away", () =>
    Effect.gen(function*() {
      const address = "203.0.113.2"
      const [one, other] = yield* processes
      const emails = yield* Effect.forEach(["ama", "kofi", "esi", "yaw"], (name) => registered(one, name))
      for (let n = 0; n < 49; n++) {
        yield* as(
          "identity",
          `INSERT INTO identity.login_failures (account, address, failed_at) VALUES (sha256($1::bytea), $2, now())`,
          [String(n), address]
        )
      }
      const tags = yield* inParallel(
        [...emails, ...emails].map((email, n) => guess(n % 2 === 0 ? one : other, email, address, right))
      )
      assert.strictEqual(count(tags, "SignedIn"), 8)
      assert.lengthOf(yield* places(address), 49)
    }).pipe(Effect.scoped), 90_000)

  it.effect("keeps no place for an attempt that broke off", () =>
    Effect.gen(function*() {
      const address = "203.0.113.3"
      const limit = yield* LoginLimit
      const who = { email: Email.make("hasty@example.org"), address }
      const attempt = yield* Effect.forkChild(limit.attempt(who, Effect.never))
      yield* Effect.repeat(places(address), { until: (rows) => rows.length === 1 })
      assert.deepStrictEqual(yield* places(address), [{ failed: false }])
      yield* Fiber.interrupt(attempt)
      assert.deepStrictEqual(yield* places(address), [])
      const dead = yield* Effect.exit(limit.attempt(who, Effect.die("no memory")))
      assert.strictEqual(dead._tag, "Failure")
      assert.deepStrictEqual(yield* places(address), [])
    }))

  it.effect("lets go of the place of a process that died in the middle of an attempt", () =>
    Effect.gen(function*() {
      const identity = yield* Identity
      const email = yield* registered(identity, "survivor")
      const left = (until: string) =>
        as(
          "identity",
          `INSERT INTO identity.login_failures (account, address, failed_at, runs_until)
           SELECT sha256($1::bytea), '203.0.113.4', now(), now() + $2::interval FROM generate_series(1, 5)`,
          [email, until]
        )
      yield* left("-1 seconds")
      assert.strictEqual(yield* guess(identity, email, "203.0.113.4", right), "SignedIn")
      yield* left("300 milliseconds")
      assert.strictEqual(yield* guess(identity, email, "203.0.113.4", right), "SignedIn")
    }))
})
