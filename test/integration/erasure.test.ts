import { PgConnection } from "@effect/sql-pg"
import { assert, layer } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { randomUUID } from "node:crypto"
import { OutgoingId } from "../../src/domain/Ids.ts"
import { Outgoings } from "../../src/services/Outgoings.ts"
import { ApiTest, countOf, eventually, give, type Member, owner, register, send } from "../layers/ApiTest.ts"
import { lockWatch } from "../layers/LockWatch.ts"
import { PgTest } from "../layers/PgTest.ts"
import { Sandbox, sandboxSecrets } from "../layers/sandbox.ts"

const post = (path: string, { token }: Member, body: object, key?: string) =>
  send({ method: "POST", path, token, body, ...(key === undefined ? {} : { key }) })
const erase = ({ password, token }: Member) =>
  send({ method: "DELETE", path: "/api/auth/me", token, body: { password } })

const payout = (member: Member, accountNumber: string) =>
  post("/api/payment/payouts", member, {
    amount: 500,
    currency: "NGN",
    destination: { type: "bank", country: "NG", bankCode: "058", accountNumber, accountName: "Ada Obi" }
  }, accountNumber)
/** What is kept of where somebody's payouts went. */
const destinations = ({ id }: Member) =>
  owner(`SELECT destination IS NOT NULL, last4, destination_type FROM payments.outgoing
          WHERE user_id = '${id}' ORDER BY last4`)

/** Lets the provider pay what it was asked for. */
const payAtProvider = Effect.fnUntraced(function*(last4: string) {
  const { base } = yield* Sandbox
  const reference = owner(`SELECT provider_reference FROM payments.outgoing WHERE last4 = '${last4}'`)
  const [row] = yield* eventually(reference, (rows) => rows[0]?.[0] !== null)
  const { status } = yield* Effect.promise(() =>
    fetch(`${base}/v1/payouts/${row?.[0]}/settle`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${sandboxSecrets.SANDBOX_SECRET_KEY}` },
      body: JSON.stringify({ outcome: "pay" })
    })
  )
  assert.strictEqual(status, 200)
  const [out] = yield* owner(`SELECT id FROM payments.outgoing WHERE last4 = '${last4}'`)
  yield* Effect.flatMap(Outgoings, (outgoings) => outgoings.work(OutgoingId.make(String(out?.[0]))))
})

/** A login at the moment in which it has found the account as it was: it holds it, and its session is about to be written. */
const loggingIn = Effect.fnUntraced(function*({ id }: Member) {
  const connection = yield* PgConnection.make({ url: (yield* PgTest).urlFor("identity") })
  const run = (statement: string) => connection.queryValues(statement, [])
  yield* run("BEGIN")
  yield* run(`SELECT id FROM identity.users WHERE id = '${id}' FOR SHARE`)
  return run(
    `INSERT INTO identity.sessions (id, user_id, created_at, last_used_at, idle_expires_at, expires_at, user_agent, address)
     VALUES ('${randomUUID()}', '${id}', now(), now(), now() + interval '1 day', now() + interval '2 days', 'late', '192.0.2.9')`
  ).pipe(Effect.andThen(run("COMMIT")))
})

layer(ApiTest.layer(), { timeout: "60 seconds", excludeTestServices: true })("erasure", (it) => {
  it.effect("leaves nowhere that money or events of that person went to", () =>
    Effect.gen(function*() {
      const [member, friend] = [yield* register(), yield* register()]
      yield* give(member.id, 1_000)
      // The sandbox pays the first at once, and lets the second wait.
      for (const number of ["0001234567", "0001230002"]) {
        const made = yield* payout(member, number)
        assert.strictEqual(made.status, 201, made.text)
      }
      yield* eventually(destinations(member), (rows) => rows[1]?.[0] === false)
      assert.deepStrictEqual(yield* destinations(member), [[true, "0002", "bank"], [false, "4567", "bank"]])
      const endpoint = { url: "https://receiver.example.com/ada", description: "of Ada Obi" }
      assert.strictEqual((yield* post("/api/webhook-endpoints", member, endpoint)).status, 201)
      const neighbour = yield* post("/api/webhook-endpoints", friend, endpoint)

      assert.strictEqual((yield* erase(member)).status, 409, "a payout is on its way")
      const standing = countOf(`SELECT count(*) FROM webhooks.endpoints WHERE deleted_at IS NULL`)
      assert.strictEqual(yield* standing, 2)
      yield* payAtProvider("0002")
      assert.strictEqual((yield* erase(member)).status, 204)
      assert.deepStrictEqual(yield* destinations(member), [[false, "0002", "bank"], [false, "4567", "bank"]])
      assert.deepStrictEqual(
        yield* owner(`SELECT id FROM webhooks.endpoints WHERE deleted_at IS NULL OR description IS NOT NULL
                         OR url LIKE '%ada%' OR length(secret) > 1`),
        [[neighbour.json["id"]]]
      )
    }), 90_000)

  it.effect("ends also the session of a login that comes in between", () =>
    Effect.gen(function*() {
      const waits = yield* lockWatch
      const member = yield* register()
      const login = yield* loggingIn(member)
      const erasing = yield* Effect.forkChild(erase(member))
      yield* eventually(waits("%erased_at = %"), (is) => is)
      yield* login
      assert.strictEqual((yield* Fiber.join(erasing)).status, 204)
      const traces = `SELECT count(*) FROM identity.sessions WHERE user_id = '${member.id}'
                         AND (revoked_at IS NULL OR user_agent IS NOT NULL OR address IS NOT NULL)`
      assert.strictEqual(yield* countOf(traces), 0)
      assert.strictEqual(yield* countOf(`SELECT count(*) FROM identity.sessions WHERE user_id = '${member.id}'`), 2)
    }).pipe(Effect.scoped))
})
