import { assert, layer } from "@effect/vitest"
import { Context, Deferred, Effect, Fiber, Layer, Option, Ref } from "effect"
import { Email } from "../../src/domain/Identity.ts"
import type { Principal } from "../../src/domain/Principal.ts"
import { AccessTokens } from "../../src/services/AccessTokens.ts"
import { Identity } from "../../src/services/Identity.ts"
import { IdentityAdmin } from "../../src/services/IdentityAdmin.ts"
import { Revocations } from "../../src/services/IdentityRevocations.ts"
import { IdentityRevocationStore } from "../../src/services/IdentityRevocationStore.ts"
import { IdentityGround } from "../layers/IdentityGround.ts"
import { device, right } from "../layers/Members.ts"

/** What happens between a reading of the real database and its answer, once. */
const Between = Context.Service<Ref.Ref<Effect.Effect<void>>>("midnight/test/Between")
const between = Layer.effect(Between, Ref.make<Effect.Effect<void>>(Effect.void))
const slow = Layer.effect(
  IdentityRevocationStore,
  Effect.gen(function*() {
    const store = yield* IdentityRevocationStore
    const next = yield* Between
    return IdentityRevocationStore.of({
      since: (...asked) => Effect.tap(store.since(...asked), () => Effect.flatten(Ref.getAndSet(next, Effect.void)))
    })
  })
)

/** An API process as far as it concerns administrators' acts: its own memory of what was revoked, over the real stores. */
const Process = Layer.fresh(IdentityAdmin.layer.pipe(
  Layer.provideMerge(Revocations.layer),
  Layer.provide(slow),
  Layer.provideMerge(between)
))
const Ground = Process.pipe(Layer.provideMerge(IdentityGround))

/** An administrator in name, and somebody for them to act on whose role was just changed. */
const people = Effect.fnUntraced(function*(name: string) {
  const identity = yield* Identity
  const register = (email: string) =>
    identity.register({ email: Email.make(email), password: right, displayName: Option.none() }, device())
  const admin = yield* register(`admin-of-${name}@example.org`)
  const { user } = yield* register(`${name}@example.org`)
  const { verify } = yield* AccessTokens
  const by = yield* verify(admin.tokens.accessToken)
  return { user, act: { by, userId: user.id, reason: "a test" } }
})

layer(Ground, { timeout: "60 seconds", excludeTestServices: true })("what an administrator has just done", (it) => {
  it.effect("is not undone by a reading of the database that began before it and ends after it", () =>
    Effect.gen(function*() {
      const { act, user } = yield* people("overtaken")
      const { disable, setRoles } = yield* IdentityAdmin
      const { catchUp, isRevoked } = yield* Revocations
      yield* catchUp
      const roles = ["member", "sponsor"] as const
      const token: Principal = { ...act.by, userId: user.id, roles }
      yield* setRoles({ ...act, roles })
      const [read, go] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
      yield* Ref.set(yield* Between, Effect.andThen(Deferred.succeed(read, undefined), Deferred.await(go)))
      const reading = yield* Effect.forkChild(catchUp)
      yield* Deferred.await(read)
      yield* disable(act)
      assert.isTrue(isRevoked(token))
      yield* Deferred.succeed(go, undefined)
      yield* Fiber.join(reading)
      assert.isTrue(isRevoked(token), "what was read is how the account stood before")
      yield* catchUp
      assert.isTrue(isRevoked(token))
    }))
})
