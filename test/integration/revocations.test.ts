import { PgConnection } from "@effect/sql-pg"
import { assert, layer } from "@effect/vitest"
import { Context, Effect, Layer, Option } from "effect"
import { Email } from "../../src/domain/Identity.ts"
import { IdentityServices, revocationTasks } from "../../src/layers/IdentityLive.ts"
import { bulkheads } from "../../src/layers/Pools.ts"
import { AccessTokens } from "../../src/services/AccessTokens.ts"
import { Health } from "../../src/services/Health.ts"
import { Identity } from "../../src/services/Identity.ts"
import { Revocations } from "../../src/services/IdentityRevocations.ts"
import { IdentityStore } from "../../src/services/IdentityStore.ts"
import { eventually } from "../layers/ApiTest.ts"
import { identityEnvironment, IdentityGround } from "../layers/IdentityGround.ts"
import { as, device, right } from "../layers/Members.ts"
import { PgTest } from "../layers/PgTest.ts"
import { testConfig } from "../layers/TestConfig.ts"

const signedIn = Effect.fnUntraced(function*(name: string) {
  const identity = yield* Identity
  const email = Email.make(`${name}@example.org`)
  const { tokens, user } = yield* identity.register({ email, password: right, displayName: Option.none() }, device())
  const { verify } = yield* AccessTokens
  return { id: user.id, accepted: Effect.map(Effect.option(verify(tokens.accessToken)), Option.isSome) }
})
const catchUp = Effect.flatMap(Revocations, ({ catchUp }) => catchUp)

/** A transaction of an operator's, which has its number from the beginning. */
const transaction = Effect.gen(function*() {
  const connection = yield* PgConnection.make({ url: (yield* PgTest).ownerUrl })
  const run = (statement: string) => connection.queryValues(statement, [])
  yield* run("BEGIN")
  // As text: the client takes a type that it does not know for text, and the eight bytes of a number are not.
  yield* run("SELECT pg_current_xact_id()::text")
  return run
})
const standing = (id: string, disabledAt: "now()" | "NULL") =>
  `UPDATE identity.users SET disabled_at = ${disabledAt} WHERE id = '${id}'`

/** Identity once more, with what a process of its own has. */
const anotherProcess = Effect.gen(function*() {
  const services = Layer.fresh(IdentityServices).pipe(Layer.provide(testConfig(identityEnvironment)))
  const context = yield* Layer.build(
    Layer.fresh(revocationTasks()).pipe(
      Layer.provideMerge(services),
      Layer.provideMerge(Layer.fresh(Health.layer))
    )
  )
  const status = Effect.map(Context.get(context, Health).snapshot, ({ identity }) => identity.status)
  return { context, status }
})

layer(IdentityGround, { timeout: "60 seconds", excludeTestServices: true })("revocations", (it) => {
  it.effect("are seen when their transaction commits, however long it was open", () =>
    Effect.gen(function*() {
      const { accepted, id } = yield* signedIn("patient")
      const operator = yield* transaction
      yield* operator(standing(id, "now()"))
      // As it is when this was twenty minutes ago.
      yield* operator(`UPDATE identity.revocations SET at = at - interval '20 minutes' WHERE user_id = '${id}'`)
      yield* catchUp
      yield* catchUp
      assert.isTrue(yield* accepted)
      yield* operator("COMMIT")
      yield* catchUp
      assert.isFalse(yield* accepted)
    }).pipe(Effect.scoped))

  it.effect("that come again, behind a transaction that is open, do not undo what came after them", () =>
    Effect.gen(function*() {
      const { accepted, id } = yield* signedIn("reinstated")
      yield* catchUp
      const first = yield* transaction
      const open = yield* transaction
      yield* as("owner", standing(id, "now()"))
      yield* catchUp
      assert.isFalse(yield* accepted)
      yield* first(standing(id, "NULL"))
      yield* first("COMMIT")
      yield* catchUp
      assert.isTrue(yield* accepted)
      // Now the first of the two changes comes alone: its transaction has the higher number.
      yield* catchUp
      assert.isTrue(yield* accepted)
      yield* open("ROLLBACK")
    }).pipe(Effect.scoped))

  it.effect("are read while every connection of identity's is taken", () =>
    Effect.gen(function*() {
      const { context } = yield* anotherProcess
      yield* Effect.gen(function*() {
        const { accepted, id } = yield* signedIn("crowded")
        const { transaction } = yield* IdentityStore
        for (let n = 0; n < bulkheads.identity.connections; n++) yield* Effect.forkScoped(transaction(Effect.never))
        const taken = as(
          "owner",
          `SELECT pid FROM pg_stat_activity WHERE usename = 'midnight_identity' AND state = 'idle in transaction'
              AND datname = current_database()`
        )
        yield* eventually(taken, (rows) => rows.length === bulkheads.identity.connections)
        yield* as("owner", standing(id, "now()"))
        yield* eventually(accepted, (is) => !is)
      }).pipe(Effect.provide(context))
    }).pipe(Effect.scoped))

  it.effect("that cannot be read are told in the health of identity, until they can", () =>
    Effect.gen(function*() {
      const { status } = yield* anotherProcess
      yield* eventually(status, (is) => is === "ok")
      const operator = yield* transaction
      yield* operator("LOCK TABLE identity.revocations")
      yield* eventually(status, (is) => is === "degraded")
      yield* operator("ROLLBACK")
      yield* eventually(status, (is) => is === "ok")
    }).pipe(Effect.scoped), 120_000)
})
