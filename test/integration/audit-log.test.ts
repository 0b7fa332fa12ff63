import { assert, layer } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { randomUUID } from "node:crypto"
import type { Role } from "../../src/domain/Principal.ts"
import { Identity } from "../../src/services/Identity.ts"
import { ApiTest, eventually, owner, register } from "../layers/ApiTest.ts"
import { acts, kinds } from "../layers/AuditActs.ts"
import { deadCommand, deadDelivery, done, post, readLog, requeue, tells } from "../layers/AuditBench.ts"

const roles = ["identity", "payments", "rewards", "video_api", "webhooks"] as const
const writerOf = (kind: string) =>
  /^(payout|flag|webhook_replayed|reconciliation)/.test(kind)
    ? "payments"
    : kind.startsWith("webhook_endpoint")
    ? "webhooks"
    : kind.startsWith("submission_")
    ? "video_api"
    : kind === "dead_letter_requeued"
    ? "any"
    : "identity"

/** As a server would, with what that role may. */
const asRole = (role: string, statement: string) =>
  owner(`DO $do$ BEGIN SET LOCAL ROLE midnight_${role}; ${statement}; END $do$`)
const forged = (kind: string) =>
  `INSERT INTO identity.security_events (id, kind, request_id, created_at)
   VALUES (gen_random_uuid(), '${kind}', 'forged', now())`

layer(ApiTest.layer(), { timeout: "60 seconds", excludeTestServices: true })("the audit log", (it) => {
  for (const kind of kinds) {
    it.effect(`tells once of each ${kind}`, () => Effect.flatMap(acts[kind], (told) => tells(kind, told)), 90_000)
  }

  it.effect("tells who requeued, of every queue", () =>
    Effect.gen(function*() {
      for (const queue of ["settlement_commands", "verification_commands"] as const) {
        yield* tells("dead_letter_requeued", yield* requeue(queue, yield* deadCommand(queue)))
      }
      yield* tells("dead_letter_requeued", yield* requeue("webhook_deliveries", yield* deadDelivery))
    }), 90_000)

  it.effect(
    "tells that somebody asked for the password of no account, and nothing of the address",
    () =>
      Effect.gen(function*() {
        const email = `${randomUUID()}@example.com`
        const unknown = Effect.map(
          readLog,
          (log) => log.filter(({ kind, userId }) => kind === "password_reset_requested" && userId === null).length
        )
        const before = yield* unknown
        done(yield* post("/api/auth/password/forgot", { email }))
        yield* eventually(unknown, (count) => count === before + 1)
        const rows = yield* owner("SELECT e::text FROM identity.security_events e")
        assert.isAbove(rows.length, 0)
        assert.notInclude(JSON.stringify(rows), "@")
      }),
    90_000
  )

  it.effect("tells that an address without an account was locked out", () =>
    Effect.gen(function*() {
      const email = `${randomUUID()}@example.com`
      const unknown = Effect.map(readLog, (log) =>
        log.filter(({ kind, userId }) => kind === "login_locked" && userId === null).length)
      const before = yield* unknown
      for (let n = 0; n < 8; n++) {
        yield* post("/api/auth/login", { email, password: "not the right passphrase" })
      }
      assert.strictEqual(yield* unknown, before + 1)
    }), 90_000)

  it.effect(
    "tells of accounts that are seeded, and of their roles only when they change",
    () =>
      Effect.gen(function*() {
        const { seed } = yield* Identity
        const email = `${randomUUID()}@example.com`
        const password = Redacted.make("a long enough passphrase")
        const seeded = (...roles: ReadonlyArray<Role>) => seed([{ email, password, displayName: "Somebody", roles }])
        const [user] = yield* seeded("member", "sponsor")
        yield* seeded("member", "sponsor")
        yield* seeded("sponsor", "member")
        const told = Effect.map(
          readLog,
          (log) =>
            log.filter(({ userId }) => userId === user?.id).map(({ by, kind, roles }) => `${kind} by ${by}: ${roles}`)
        )
        const first = "registered by null: member,sponsor"
        assert.deepStrictEqual(yield* told, [first])
        yield* seeded("member")
        yield* seeded("member")
        assert.deepStrictEqual(yield* told, ["roles_changed by null: member", first])
      }),
    90_000
  )

  it.effect("tells nothing of roles that an administrator sets as they were", () =>
    Effect.gen(function*() {
      const [admin, member] = [yield* register("admin"), yield* register()]
      done(yield* post(`/api/admin/users/${member.id}/roles`, { roles: ["member"], reason: "as they were" }, admin))
      const log = yield* readLog
      assert.deepStrictEqual(
        log.filter(({ kind, userId }) => kind === "roles_changed" && userId === member.id),
        []
      )
    }))

  it.effect("takes from each bulkhead what is its own to tell, and nothing else", () =>
    Effect.gen(function*() {
      for (const role of roles) {
        for (const kind of kinds) {
          const refusal = yield* asRole(role, forged(kind)).pipe(
            Effect.as("taken"),
            Effect.catch((error) => Effect.succeed(JSON.stringify(error.reason.cause)))
          )
          if (["any", role].includes(writerOf(kind))) assert.strictEqual(refusal, "taken", `${role} ${kind}`)
          else assert.include(refusal, "42501", `${role} ${kind}`)
        }
      }
      for (const role of ["wallet", "video_worker"]) {
        const refused = yield* Effect.flip(asRole(role, forged("login")))
        assert.include(JSON.stringify(refused.reason.cause), "42501", role)
      }
    }))

  it.effect("is read by identity alone, and changed by nobody", () =>
    Effect.gen(function*() {
      const refusalOf = (role: string, statement: string) =>
        Effect.map(Effect.flip(asRole(role, statement)), ({ reason }) => JSON.stringify(reason.cause))
      const reading = "PERFORM id FROM identity.security_events"
      yield* asRole("identity", reading)
      for (const role of roles) {
        if (role !== "identity") assert.include(yield* refusalOf(role, reading), "42501", role)
        for (
          const change of ["UPDATE identity.security_events SET kind = 'login'", "DELETE FROM identity.security_events"]
        ) {
          assert.include(yield* refusalOf(role, change), "42501", `${role} ${change}`)
        }
      }
      for (const table of ["users", "sessions", "revocations"]) {
        assert.include(yield* refusalOf("payments", `PERFORM 1 FROM identity.${table}`), "42501", table)
      }
    }))
})
