import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { randomUUID } from "node:crypto"
import type { QueueName } from "../../src/domain/DeadLetters.ts"
import type { AuditEntry, SecurityEvent } from "../../src/domain/IdentityAdmin.ts"
import { SubmissionId } from "../../src/domain/Ids.ts"
import { Amount } from "../../src/domain/Money.ts"
import { ApiTest, as, eventually, fromAfar, give, keyed, type Member, owner, pay, register, send } from "./ApiTest.ts"

/** What a line of the log must say. What is left out must be null. */
export type Told = Partial<Pick<SecurityEvent, "userId" | "by" | "reason" | "roles" | "subject" | "scope">>

/** The security events of the whole log, as an administrator reads them page by page; newest first. */
export const readLog = Effect.gen(function*() {
  const { client } = yield* ApiTest
  const admin = yield* register("admin")
  const all: Array<SecurityEvent> = []
  let cursor: string | undefined = undefined
  do {
    const query: { limit: number; cursor?: string } = { limit: 100, ...(cursor === undefined ? {} : { cursor }) }
    const page: { items: ReadonlyArray<AuditEntry>; nextCursor: string | null } = yield* client.admin.auditLog({
      query
    })
      .pipe(as(admin))
    all.push(...page.items.filter((item) => "requestId" in item))
    cursor = page.nextCursor ?? undefined
  } while (cursor !== undefined)
  return all
})

/** Once the log tells of it: that it does so once, and says this and nothing else. */
export const tells = Effect.fnUntraced(function*(kind: SecurityEvent["kind"], told: Told) {
  const about = (log: ReadonlyArray<SecurityEvent>) =>
    log.filter((event) =>
      event.kind === kind
      && (told.subject === undefined ? event.userId === told.userId : event.subject === told.subject)
    )
  const found = yield* eventually(Effect.map(readLog, about), ({ length }) => length > 0)
  assert.deepStrictEqual(
    found.map(({ by, reason, roles, scope, subject, userId }) => ({ userId, by, reason, roles, subject, scope })),
    [{ userId: null, by: null, reason: null, roles: null, subject: null, scope: null, ...told }]
  )
  assert.match(found[0]?.requestId ?? "", /^[\w-]{8,}$/, "by which the access log is found")
})

export const post = (path: string, body: object, member?: Member) =>
  send({
    method: "POST",
    path,
    body,
    headers: fromAfar(),
    ...(member === undefined ? {} : { token: member.token })
  })
export const done = (answer: { readonly status: number; readonly text: string }) =>
  assert.isBelow(answer.status, 300, answer.text)

/** A payout that waits for an administrator. */
export const largePayout = Effect.gen(function*() {
  const { client } = yield* ApiTest
  const member = yield* register()
  yield* give(member.id, 100_000_000)
  const destination = {
    type: "bank",
    country: "NG",
    bankCode: "058",
    accountNumber: "0001231234",
    accountName: "Ada Obi"
  } as const
  const payload = { amount: Amount.make(5_000_001n), currency: "NGN", destination } as const
  const { id } = yield* client.payouts.create({ payload }).pipe(keyed, as(member))
  return { member, id }
})

/** A submission that waits for a reviewer, and that no worker knows of. */
export const unsureSubmission = Effect.gen(function*() {
  const member = yield* register()
  const [id, video] = [SubmissionId.make(randomUUID()), randomUUID()]
  yield* owner(
    `WITH sent AS (INSERT INTO video.uploads (id, user_id, bytes, content_type, sha256, status, expires_at, completed_at)
       VALUES ('${video}', '${member.id}', 4, 'video/mp4', repeat('0', 64), 'complete', now(), now()) RETURNING id)
     INSERT INTO video.submissions (id, user_id, video_id, status, rules, decided_by, request_id)
     SELECT '${id}', '${member.id}', id, 'needs_review', '{}', 'worker', 'test' FROM sent`
  )
  return { member, id }
})

/** The id of a provider's event that came in. */
export const providerEvent = Effect.gen(function*() {
  const { client } = yield* ApiTest
  const payload = { amount: Amount.make(900n), currency: "NGN" } as const
  const { id, nextAction } = yield* client.payments.charge({ payload }).pipe(keyed, as(yield* register()))
  yield* pay(nextAction?.url ?? "")
  const rows = yield* eventually(
    owner(`SELECT event_id FROM payments.webhook_inbox WHERE payment_id = '${id}'`),
    (found) => found.length > 0
  )
  return String(rows[0]?.[0])
})

export const url = "https://receiver.example.com/midnight"
export const endpoint = Effect.fnUntraced(function*(scope: "own" | "all") {
  const { client } = yield* ApiTest
  const member = yield* scope === "all" ? register("admin") : register()
  const { id } = yield* client.webhookEndpoints.create({ payload: { url, scope } }).pipe(as(member))
  return { member, id, told: { userId: member.id, by: member.id, subject: id, scope } }
})

/** A command that was given up, of any queue. */
export const deadCommand = Effect.fnUntraced(
  function*(queue: "payment_commands" | "settlement_commands" | "verification_commands") {
    const id = randomUUID()
    yield* owner(
      `INSERT INTO queue.${queue} (id, queue_name, element, state, attempts, visible_at, created_at, updated_at)
     VALUES ('${id}', '${queue}', '{}', 'failed', 20, now(), now(), now())`
    )
    return id
  }
)

/** A delivery that was given up. */
export const deadDelivery = Effect.gen(function*() {
  const { id, member } = yield* endpoint("own")
  const event = `evt_payment_failed_${randomUUID()}`
  yield* owner(
    `WITH made AS (INSERT INTO webhooks.events (id, type, user_id, body, routed_at)
     VALUES ('${event}', 'payment.failed', '${member.id}', '{}', now()) RETURNING seq)
     INSERT INTO webhooks.deliveries (seq, endpoint_id, state, give_up_at, created_at, updated_at)
     SELECT seq, '${id}', 'failed', now(), now(), now() FROM made`
  )
  return `${id}:${event}`
})

export const requeue = Effect.fnUntraced(function*(queue: QueueName, commandId: string) {
  const { client } = yield* ApiTest
  const admin = yield* register("admin")
  yield* client.deadLetters.requeue({ params: { queue, commandId } }).pipe(as(admin))
  return { by: admin.id, subject: `${queue}/${commandId}` }
})
