import { PgConnection } from "@effect/sql-pg"
import { Effect, Option, Redacted } from "effect"
import { TestClock } from "effect/testing"
import { type Device, Email } from "../../src/domain/Identity.ts"
import { Identity } from "../../src/services/Identity.ts"
import { Sessions } from "../../src/services/IdentitySessions.ts"
import { PgTest } from "./PgTest.ts"

// The clock is the test's, not the pool's, whose own rounds would otherwise run for every year since 1970.
export const clocked = Effect.provide(TestClock.layer())

export const right = Redacted.make("a long enough passphrase")
export const wrong = Redacted.make("another long passphrase")
export const start = 1_800_000_000_000
export const device = (address = "192.0.2.1"): Device => ({ userAgent: Option.some("a test"), address })

export const as = Effect.fnUntraced(function*(role: string, statement: string, parameters: ReadonlyArray<string> = []) {
  const pg = yield* PgTest
  const connection = yield* PgConnection.make({ url: role === "owner" ? pg.ownerUrl : pg.urlFor(role) })
  return (yield* connection.query(statement, [...parameters])).rows
}, Effect.scoped)

export const member = Effect.fnUntraced(function*(name: string) {
  yield* TestClock.setTime(start)
  const identity = yield* Identity
  const email = Email.make(`${name}@example.org`)
  const { tokens, user } = yield* identity.register({ email, password: right, displayName: Option.none() }, device())
  return { email, user, tokens, first: tokens.refreshToken }
})

export const login = Effect.fnUntraced(function*(email: string, password: typeof right, address = "192.0.2.1") {
  const identity = yield* Identity
  return yield* identity.login({ email: Email.make(email), password, device: device(address) })
})
export const refusal = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.flip(effect)
export const refresh = (token: typeof right) =>
  Effect.flatMap(Sessions, (sessions) => sessions.refresh(token, device()))
export const refreshTag = (token: typeof right) => Effect.map(refusal(refresh(token)), ({ _tag }) => _tag)
