import { assert, layer } from "@effect/vitest"
import { Context, Effect, Layer, Option, Redacted } from "effect"
import { Email } from "../../src/domain/Identity.ts"
import { followRevocations, IdentityServices } from "../../src/layers/IdentityLive.ts"
import { AccessTokens } from "../../src/services/AccessTokens.ts"
import { ApiTest, as, countOf, eventually, give, keyed, type Member, owner, register, send } from "../layers/ApiTest.ts"
import { identityEnvironment } from "../layers/IdentityGround.ts"
import { testConfig } from "../layers/TestConfig.ts"

const reason = "a ticket of the support desk"
const Ground = ApiTest.layer()

/** Whether a second API process takes a member's token: identity once more, over a pool and a memory of its own. */
const secondProcess = Effect.gen(function*() {
  const built = yield* Layer.build(
    Layer.fresh(IdentityServices).pipe(Layer.provide(testConfig(identityEnvironment)))
  )
  const tokens = Context.get(built, AccessTokens)
  yield* Effect.forkScoped(followRevocations.pipe(Effect.provideContext(built)))
  return ({ token }: Member) => Effect.map(Effect.option(tokens.verify(Redacted.make(token))), Option.isSome)
})

const me = ({ token }: Member) =>
  Effect.map(send({ method: "GET", path: "/api/auth/me", token }), ({ status }) => status)
const post = (path: string, { token }: Member, body: object) => send({ method: "POST", path, token, body })
const kinds = (id: string) =>
  Effect.map(
    // The mail of a registration is made, and that recorded, whenever its command is worked.
    owner(`SELECT kind, by_id FROM identity.security_events
            WHERE user_id = '${id}' AND kind <> 'email_verification_requested' ORDER BY id`),
    (rows) => rows.map(([kind, by]) => [kind, by])
  )

layer(Ground, { timeout: "60 seconds", excludeTestServices: true })("accounts", (it) => {
  it.effect(
    "that are disabled can do nothing more, here at once and in every other process soon",
    () =>
      Effect.gen(function*() {
        const accepts = yield* secondProcess
        const admin = yield* register("admin")
        const member = yield* register()
        assert.isTrue(yield* accepts(member))
        const disabled = yield* post(`/api/admin/users/${member.id}/disable`, admin, { reason })
        assert.strictEqual(disabled.status, 200, disabled.text)
        assert.strictEqual(yield* me(member), 401)
        yield* eventually(accepts(member), (accepted) => !accepted)
        const { email, password, refreshToken } = member
        const login = yield* send({ method: "POST", path: "/api/auth/login", body: { email, password } })
        const refresh = yield* send({ method: "POST", path: "/api/auth/refresh", body: { refreshToken } })
        assert.deepStrictEqual([login.status, refresh.status], [401, 401])
        assert.deepStrictEqual((yield* kinds(member.id)).slice(0, 2), [
          ["registered", member.id],
          ["account_disabled", admin.id]
        ])
      }),
    90_000
  )

  it.effect("that an operator disables in SQL are cut off as well", () =>
    Effect.gen(function*() {
      const member = yield* register()
      assert.strictEqual(yield* me(member), 200)
      yield* owner(`UPDATE identity.users SET disabled_at = now() WHERE id = '${member.id}'`)
      yield* eventually(me(member), (status) => status === 401)
    }), 90_000)

  it.effect(
    "cannot be paid once they are disabled, however often they were paid before, until they are enabled",
    () =>
      Effect.gen(function*() {
        const [admin, payer, payee] = yield* Effect.all([register("admin"), register(), register()])
        yield* give(payer.id, 1_000)
        const pay = (n: number) =>
          Effect.map(
            send({
              method: "POST",
              path: "/api/wallet/transfers",
              token: payer.token,
              body: { toUserId: payee.id, amount: 1, currency: "NGN" },
              headers: { "idempotency-key": `pay-${n}` }
            }),
            ({ status }) => status
          )
        assert.deepStrictEqual(yield* Effect.forEach([1, 2], pay), [201, 201])
        yield* post(`/api/admin/users/${payee.id}/disable`, admin, { reason })
        assert.strictEqual(yield* pay(3), 404)
        yield* post(`/api/admin/users/${payee.id}/enable`, admin, { reason })
        assert.strictEqual(yield* pay(3), 201)
        // Behind the back of this process.
        yield* owner(`UPDATE identity.users SET disabled_at = now() WHERE id = '${payee.id}'`)
        // Each time another transfer: one that was made is answered with what it was.
        let n = 4
        yield* eventually(Effect.suspend(() => pay(n++)), (status) => status === 404)
      }),
    90_000
  )

  it.effect("lose a role at once: tokens that still name it are refused, and the next one has the others", () =>
    Effect.gen(function*() {
      const admin = yield* register("admin")
      const second = yield* register("admin")
      const users = (member: Member) =>
        Effect.map(send({ method: "GET", path: "/api/admin/users", token: member.token }), ({ status }) => status)
      assert.strictEqual(yield* users(second), 200)
      yield* post(`/api/admin/users/${second.id}/roles`, admin, { roles: ["member"], reason })
      assert.strictEqual(yield* users(second), 401)
      const { refreshToken } = second
      const { client } = yield* ApiTest
      const { tokens } = yield* client.identity.refresh({ payload: { refreshToken: Redacted.make(refreshToken) } })
      assert.strictEqual(yield* users({ ...second, token: Redacted.value(tokens.accessToken) }), 403)
    }))

  it.effect(
    "are signed out on one device, and the token of that device ends with it in every process",
    () =>
      Effect.gen(function*() {
        const accepts = yield* secondProcess
        const member = yield* register()
        assert.strictEqual((yield* post("/api/auth/logout", member, {})).status, 204)
        assert.strictEqual(yield* me(member), 401)
        yield* eventually(accepts(member), (accepted) => !accepted)
      }),
    90_000
  )

  it.effect("keep nothing of a person when they are erased, and the ledger keeps every entry", () =>
    Effect.gen(function*() {
      const { client } = yield* ApiTest
      const [member, friend] = [yield* register(), yield* register()]
      yield* give(member.id, 500)
      const all = { amount: 500, currency: "NGN", toUserId: friend.id }
      const sent = yield* send({
        method: "POST",
        path: "/api/wallet/transfers",
        token: member.token,
        key: "all",
        body: all
      })
      assert.strictEqual(sent.status, 201, sent.text)
      const entries = countOf("SELECT count(*) FROM wallet.entries")
      const before = yield* entries
      const body = { password: member.password }
      assert.strictEqual(
        (yield* send({ method: "DELETE", path: "/api/auth/me", token: member.token, body })).status,
        204
      )

      assert.strictEqual(yield* entries, before)
      assert.deepStrictEqual(
        yield* owner(`SELECT email, display_name, password_hash, email_verified_at FROM identity.users
                       WHERE id = '${member.id}'`),
        [[null, null, null, null]]
      )
      const traces = yield* countOf(
        `SELECT count(*) FROM identity.sessions WHERE user_id = '${member.id}'
                        AND (user_agent IS NOT NULL OR address IS NOT NULL OR revoked_at IS NULL)`
      )
      assert.strictEqual(traces, 0)
      assert.strictEqual(yield* me(member), 401)
      const gone = yield* send({
        method: "POST",
        path: "/api/wallet/transfers",
        token: friend.token,
        key: "late",
        body: { amount: 1, currency: "NGN", toEmail: member.email }
      })
      assert.strictEqual(gone.status, 404, gone.text)
      const again = { email: Email.make(member.email), password: Redacted.make(member.password) }
      assert.notStrictEqual((yield* client.identity.register({ payload: again })).user.id, member.id)
    }))

  it.effect(
    "have an audit log that nobody can change, and that tells of the ledger too, page by page",
    () =>
      Effect.gen(function*() {
        const { client } = yield* ApiTest
        const admin = yield* register("admin")
        const member = yield* register()
        // Recorded when their mails are made, and so are those of everybody else here; then nothing comes in between.
        const mails = "SELECT count(*) FROM queue.mail_commands WHERE state = 'pending'"
        yield* eventually(countOf(mails), (waiting) => waiting === 0)
        const adjust = client.admin.adjust({ payload: { userId: member.id, amount: 7, currency: "NGN", reason } })
        const { id } = yield* adjust.pipe(keyed, as(admin))
        yield* post("/api/auth/logout", member, {})
        const seen: Array<string> = []
        let cursor: string | undefined = undefined
        do {
          const query: { limit: number; cursor?: string } = { limit: 2, ...(cursor === undefined ? {} : { cursor }) }
          const page: { items: ReadonlyArray<{ id: string }>; nextCursor: string | null } = yield* client.admin
            .auditLog({
              query
            }).pipe(as(admin))
          seen.push(...page.items.map((item) => item.id))
          cursor = page.nextCursor ?? undefined
        } while (cursor !== undefined)
        assert.strictEqual(new Set(seen).size, seen.length)
        const all = yield* countOf(
          `SELECT (SELECT count(*) FROM identity.security_events)
              + (SELECT count(*) FROM wallet.transfers WHERE kind = 'adjustment')`
        )
        assert.strictEqual(seen.length, all)
        assert.strictEqual(seen.indexOf(id), 1, "the newest but one: after it came the logout")
        for (
          const change of [
            "UPDATE identity.security_events SET kind = 'login'",
            "DELETE FROM identity.security_events",
            "TRUNCATE identity.security_events"
          ]
        ) {
          const refused = yield* Effect.flip(owner(change))
          assert.include(JSON.stringify(refused.reason.cause), "23001", change)
        }
        // A for always: session_replication_role does not switch them off.
        assert.deepStrictEqual(
          yield* owner(`SELECT DISTINCT tgenabled::text FROM pg_trigger
                       WHERE tgrelid = 'identity.security_events'::regclass AND NOT tgisinternal`),
          [["A"]]
        )
        assert.isAbove(yield* countOf("SELECT count(*) FROM identity.security_events"), 0)
      }),
    90_000
  )
})
