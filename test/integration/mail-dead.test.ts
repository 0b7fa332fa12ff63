import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { randomUUID } from "node:crypto"
import { ApiTest, eventually, type Member, owner, register, send } from "../layers/ApiTest.ts"
import { awaitToken, subjects } from "../layers/Mailbox.ts"

/** Mail to an account that was given up while no server took it. */
const givenUp = Effect.fnUntraced(function*({ id }: Member) {
  const command = randomUUID()
  const element = JSON.stringify({ requestId: "r-1", traceparent: null, kind: "reset_password", userId: id })
  yield* owner(
    `INSERT INTO queue.mail_commands
       (id, queue_name, element, state, attempts, last_failure, visible_at, created_at, updated_at)
     VALUES ('${command}', 'mail_commands', '${element}', 'failed', 12, 'MailNotSent', now(), now(), now())`
  )
  return command
})

layer(ApiTest.layer(), { timeout: "60 seconds", excludeTestServices: true })("mail that was given up", (it) => {
  it.effect(
    "is seen by administrators and in the metrics, and brings a good token when it is tried again",
    () =>
      Effect.gen(function*() {
        const [admin, member] = [yield* register("admin"), yield* register()]
        const command = yield* givenUp(member)
        const listed = yield* send({
          method: "GET",
          path: "/api/admin/dead-letters?queue=mail_commands",
          token: admin.token
        })
        assert.strictEqual(listed.status, 200, listed.text)
        assert.deepInclude(JSON.parse(listed.text).items[0], {
          queue: "mail_commands",
          bulkhead: "identity",
          id: command,
          attempts: 12,
          lastFailure: "MailNotSent",
          requestId: "r-1"
        })
        const metrics = Effect.map(send({ method: "GET", path: "/metrics" }), ({ text }) => text)
        yield* eventually(metrics, (text) => /^midnight_queue_dead\{.*queue="mail_commands".*\} 1$/m.test(text))

        const path = `/api/admin/dead-letters/mail_commands/${command}/requeue`
        const again = yield* send({ method: "POST", path, token: admin.token })
        assert.strictEqual(again.status, 200, again.text)
        const token = yield* awaitToken(member.email, subjects.reset)
        const body = { token, password: "another long enough passphrase" }
        assert.strictEqual((yield* send({ method: "POST", path: "/api/auth/password/reset", body })).status, 204)
      }),
    90_000
  )
})
