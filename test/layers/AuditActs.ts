import { Effect, Predicate } from "effect"
import { SecurityEventKind } from "../../src/domain/IdentityAdmin.ts"
import { OutgoingId } from "../../src/domain/Ids.ts"
import { Amount } from "../../src/domain/Money.ts"
import type { Identity } from "../../src/services/Identity.ts"
import type { Ledger } from "../../src/services/Ledger.ts"
import {
  type Answer,
  ApiTest,
  as,
  countOf,
  eventually,
  keyed,
  type Member,
  owner,
  pay,
  register,
  send
} from "./ApiTest.ts"
import * as Bench from "./AuditBench.ts"
import { done, post, type Told } from "./AuditBench.ts"
import { awaitToken, subjects } from "./Mailbox.ts"
import type { PgTest } from "./PgTest.ts"
import type { Sandbox } from "./sandbox.ts"

const reason = "a ticket of the support desk"
const newPassword = "another long enough passphrase"
const login = ({ email }: Member, password: string) => post("/api/auth/login", { email, password })
const forgot = (email: string) => post("/api/auth/password/forgot", { email })
const refresh = (refreshToken: unknown) => post("/api/auth/refresh", { refreshToken })
const successorIn = ({ json }: Answer) =>
  Predicate.hasProperty(json.tokens, "refreshToken") ? json.tokens.refreshToken : undefined
const settled = eventually(
  countOf("SELECT count(*) FROM queue.mail_commands WHERE state = 'pending'"),
  (waiting) => waiting === 0
)
const own = ({ id }: Member): Told => ({ userId: id, by: id })

/** What administrators do to a fresh account. */
const onAccount = Effect.fnUntraced(function*(act: string, body: object) {
  const [admin, member] = [yield* register("admin"), yield* register()]
  done(yield* post(`/api/admin/users/${member.id}/${act}`, { reason, ...body }, admin))
  return { userId: member.id, by: admin.id, reason }
})

const onPayout = Effect.fnUntraced(function*(act: "approve" | "reject") {
  const { client } = yield* ApiTest
  const admin = yield* register("admin")
  const { id, member } = yield* Bench.largePayout
  const decide = client.adminPayments[act]({ params: { id }, payload: { reason } }).pipe(as(admin))
  yield* decide
  // Who comes second has decided nothing.
  yield* Effect.exit(decide)
  return { userId: member.id, by: admin.id, reason, subject: id }
})

/** A charge that was flagged, and that an administrator decides so. */
const onFlag = Effect.fnUntraced(function*(decision: "settle" | "release") {
  const { client } = yield* ApiTest
  const [admin, member] = [yield* register("admin"), yield* register()]
  const payload = { amount: Amount.make(900n), currency: "NGN" } as const
  const { id, nextAction } = yield* client.payments.charge({ payload }).pipe(keyed, as(member))
  yield* owner(`UPDATE payments.payments SET flag = 'amount_mismatch' WHERE id = '${id}'`)
  yield* pay(nextAction?.url ?? "")
  const decide = client.adminPayments.decide({
    params: { kind: "charge", id: OutgoingId.make(id) },
    payload: { decision, reason }
  }).pipe(as(admin))
  yield* decide
  yield* decide
  return { userId: member.id, by: admin.id, reason, subject: `charge/${id}` }
})

const onSubmission = Effect.fnUntraced(function*(decision: "approve" | "reject", why = reason) {
  const { client } = yield* ApiTest
  const reviewer = yield* register("reviewer")
  const { id, member } = yield* Bench.unsureSubmission
  const decide = client.review.decide({ params: { id }, payload: { decision, reason: why } }).pipe(as(reviewer))
  yield* decide
  // Who comes second has decided nothing.
  yield* Effect.exit(decide)
  return {
    userId: member.id,
    by: reviewer.id,
    reason: why.slice(0, 279) + (why.length > 280 ? "…" : why.slice(279)),
    subject: id
  }
})

/** By the act that makes it: each kind, and what the log must tell of it. */
export const acts: Record<
  SecurityEventKind,
  Effect.Effect<Told, unknown, ApiTest | Identity | Ledger | PgTest | Sandbox>
> = {
  registered: Effect.map(register(), own),
  login: Effect.gen(function*() {
    const member = yield* register()
    done(yield* login(member, member.password))
    return own(member)
  }),
  login_failed: Effect.gen(function*() {
    const member = yield* register()
    yield* login(member, newPassword)
    return { userId: member.id }
  }),
  login_locked: Effect.gen(function*() {
    const member = yield* register()
    // Who goes on trying does not fill the log.
    for (let n = 0; n < 9; n++) yield* login(member, newPassword)
    return { userId: member.id }
  }),
  logout: Effect.gen(function*() {
    const member = yield* register()
    done(yield* post("/api/auth/logout", {}, member))
    return own(member)
  }),
  refresh_reused: Effect.gen(function*() {
    const member = yield* register()
    const first = yield* refresh(member.refreshToken)
    done(first)
    done(yield* refresh(successorIn(first)))
    yield* refresh(member.refreshToken)
    return { userId: member.id }
  }),
  session_revoked: Effect.gen(function*() {
    const { client } = yield* ApiTest
    const member = yield* register()
    done(yield* login(member, member.password))
    const { items } = yield* client.account.sessions({ query: {} }).pipe(as(member))
    const other = items.filter(({ current }) => !current).map(({ id }) => id)
    yield* Effect.forEach(other, (id) => client.account.revokeSession({ params: { id } }).pipe(as(member)))
    return own(member)
  }),
  password_changed: Effect.gen(function*() {
    const member = yield* register()
    done(yield* post("/api/auth/password/change", { currentPassword: member.password, newPassword }, member))
    return own(member)
  }),
  password_reset_requested: Effect.gen(function*() {
    const member = yield* register()
    done(yield* forgot(member.email))
    return { userId: member.id }
  }),
  password_reset: Effect.gen(function*() {
    const member = yield* register()
    done(yield* forgot(member.email))
    const token = yield* awaitToken(member.email, subjects.reset)
    done(yield* post("/api/auth/password/reset", { token, password: newPassword }))
    return { userId: member.id }
  }),
  email_verified: Effect.gen(function*() {
    const member = yield* register()
    done(yield* post("/api/auth/email/verify", { token: yield* awaitToken(member.email, subjects.verify) }))
    return { userId: member.id }
  }),
  email_verification_requested: Effect.map(register(), ({ id }) => ({ userId: id })),
  mail_limit_reached: Effect.gen(function*() {
    const member = yield* register()
    for (let n = 0; n < 6; n++) done(yield* forgot(member.email))
    yield* settled
    return { userId: member.id }
  }),
  roles_changed: Effect.map(onAccount("roles", { roles: ["member", "reviewer"] }), (told) => ({
    ...told,
    roles: ["member", "reviewer"]
  })),
  account_disabled: onAccount("disable", {}),
  account_enabled: onAccount("enable", {}),
  account_exported: Effect.gen(function*() {
    const member = yield* register()
    done(yield* send({ method: "GET", path: "/api/auth/me/export", token: member.token }))
    return own(member)
  }),
  account_erased: Effect.gen(function*() {
    const member = yield* register()
    const { password, token } = member
    done(yield* send({ method: "DELETE", path: "/api/auth/me", token, body: { password } }))
    return own(member)
  }),
  payout_approved: onPayout("approve"),
  payout_rejected: onPayout("reject"),
  flag_settled: onFlag("settle"),
  flag_released: onFlag("release"),
  webhook_replayed: Effect.gen(function*() {
    const { client } = yield* ApiTest
    const admin = yield* register("admin")
    const eventId = yield* Bench.providerEvent
    yield* client.adminPayments.replay({ params: { provider: "sandbox", eventId } }).pipe(as(admin))
    return { by: admin.id, subject: `sandbox:${eventId}` }
  }),
  reconciliation_run: Effect.gen(function*() {
    const { client } = yield* ApiTest
    const admin = yield* register("admin")
    const { id } = yield* client.adminPayments.reconcile({ payload: { hours: 1 } }).pipe(as(admin))
    return { by: admin.id, subject: id }
  }),
  dead_letter_requeued: Effect.flatMap(
    Bench.deadCommand("payment_commands"),
    (id) => Bench.requeue("payment_commands", id)
  ),
  submission_approved: onSubmission("approve"),
  submission_rejected: onSubmission("reject", "It shows something else. ".repeat(30)),
  webhook_endpoint_created: Effect.map(Bench.endpoint("all"), ({ told }) => told),
  webhook_endpoint_changed: Effect.gen(function*() {
    const { client } = yield* ApiTest
    const { id, member, told } = yield* Bench.endpoint("own")
    const payload = { url: `${Bench.url}/elsewhere` }
    yield* client.webhookEndpoints.edit({ params: { id }, payload }).pipe(as(member))
    return told
  }),
  webhook_endpoint_rotated: Effect.gen(function*() {
    const { client } = yield* ApiTest
    const { id, member, told } = yield* Bench.endpoint("all")
    yield* client.webhookEndpoints.rotate({ params: { id } }).pipe(as(member))
    return told
  }),
  webhook_endpoint_deleted: Effect.gen(function*() {
    const { client } = yield* ApiTest
    const { id, member, told } = yield* Bench.endpoint("own")
    yield* client.webhookEndpoints.remove({ params: { id } }).pipe(as(member))
    // There is nothing more to delete.
    yield* Effect.exit(client.webhookEndpoints.remove({ params: { id } }).pipe(as(member)))
    return told
  })
}

export const kinds = SecurityEventKind.literals
