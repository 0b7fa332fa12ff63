import { assert } from "@effect/vitest"
import { Effect, Redacted, Schema } from "effect"
import { randomUUID } from "node:crypto"
import { Email, NewPassword } from "../../src/domain/Identity.ts"
import { SessionId } from "../../src/domain/Ids.ts"
import { ApiTest, as, fromAfar, give, register, send } from "../layers/ApiTest.ts"
import { awaitToken, mailsTo, subjects } from "../layers/Mailbox.ts"
import { Cast, type Contracts } from "./RouteContract.ts"
import { wrongPage } from "./WalletContracts.ts"

const newPassword = "another long enough passphrase"
const redacted = Schema.decodeSync(NewPassword)
const session = ["id", "createdAt", "lastUsedAt", "expiresAt", "userAgent", "address", "current"]

/** A member who has asked for a new password, and what the mail had. */
const forgetful = Effect.gen(function*() {
  const member = yield* register()
  yield* send({
    method: "POST",
    path: "/api/auth/password/forgot",
    body: { email: member.email },
    headers: fromAfar()
  })
  return { member, token: yield* awaitToken(member.email, subjects.reset) }
})

const unconfirmed = Effect.gen(function*() {
  const member = yield* register()
  return { member, token: yield* awaitToken(member.email, subjects.verify) }
})

export const accountContracts: Contracts = {
  "GET /api/auth/sessions": {
    status: 200,
    signedIn: true,
    keyed: false,
    shape: { "": ["items", "nextCursor"], "items.0": session },
    // One session more each time.
    attempt: Effect.gen(function*() {
      const { alice: { email, password, token } } = yield* Cast
      yield* send({ method: "POST", path: "/api/auth/login", body: { email, password }, headers: fromAfar() })
      return { path: "/api/auth/sessions", token }
    }),
    typed: Effect.gen(function*() {
      const { client } = yield* ApiTest
      const member = yield* register()
      const login = { email: Email.make(member.email), password: Redacted.make(member.password) }
      yield* client.identity.login({ payload: login })
      const { items } = yield* client.account.sessions({ query: {} }).pipe(as(member))
      assert.deepStrictEqual(items.map(({ current }) => current), [false, true])
      const first = yield* client.account.sessions({ query: { limit: 1 } }).pipe(as(member))
      const rest = yield* client.account.sessions({ query: { cursor: first.nextCursor ?? "" } }).pipe(as(member))
      assert.deepStrictEqual([...first.items, ...rest.items].map(({ id }) => id), items.map(({ id }) => id))
    }),
    wrongQuery: wrongPage
  },
  "DELETE /api/auth/sessions/:id": {
    status: 204,
    signedIn: true,
    keyed: false,
    owned: true,
    shape: {},
    attempt: Effect.gen(function*() {
      const { client } = yield* ApiTest
      const member = yield* register()
      const { items } = yield* client.account.sessions({ query: {} }).pipe(as(member))
      return { path: `/api/auth/sessions/${items[0]?.id}`, token: member.token }
    }),
    typed: Effect.gen(function*() {
      const { client } = yield* ApiTest
      const member = yield* register()
      const { items: [one] } = yield* client.account.sessions({ query: {} }).pipe(as(member))
      const id = SessionId.make(one?.id ?? "")
      yield* client.account.revokeSession({ params: { id } }).pipe(as(member))
      assert.strictEqual((yield* Effect.flip(client.account.me().pipe(as(member))))._tag, "Unauthorized")
      const refresh = { payload: { refreshToken: Redacted.make(member.refreshToken) } }
      assert.strictEqual((yield* Effect.flip(client.identity.refresh(refresh)))._tag, "InvalidRefreshToken")
    })
  },
  "POST /api/auth/password/change": {
    status: 204,
    signedIn: true,
    keyed: false,
    shape: {},
    attempt: Effect.map(register(), ({ password, token }) => ({
      path: "/api/auth/password/change",
      token,
      body: { currentPassword: password, newPassword }
    })),
    typed: Effect.gen(function*() {
      const { client } = yield* ApiTest
      const member = yield* register()
      const change = (currentPassword: string) =>
        client.account.changePassword({
          payload: { currentPassword: Redacted.make(currentPassword), newPassword: redacted(newPassword) }
        }).pipe(as(member))
      assert.strictEqual((yield* Effect.flip(change("not the right passphrase")))._tag, "InvalidCredentials")
      yield* change(member.password)
      const login = { email: Email.make(member.email), password: Redacted.make(newPassword) }
      yield* client.identity.login({ payload: login })
    }),
    wrong: [
      [{ newPassword: "too short" }, "/body/newPassword"],
      [{ newPassword: "passwordpassword" }, "/body/newPassword"],
      [{ currentPassword: "" }, "/body/currentPassword"]
    ]
  },
  "POST /api/auth/password/forgot": {
    status: 202,
    signedIn: false,
    keyed: false,
    shape: {},
    attempt: Effect.map(Cast, ({ alice: { email } }) => ({
      path: "/api/auth/password/forgot",
      body: { email },
      headers: fromAfar()
    })),
    typed: Effect.gen(function*() {
      const { client } = yield* ApiTest
      yield* client.identity.forgotPassword({ payload: { email: Email.make(`${randomUUID()}@example.com`) } })
    }),
    wrong: [[{ email: "nobody" }, "/body/email"], [{ email: null }, "/body/email"]]
  },
  "POST /api/auth/password/reset": {
    status: 204,
    signedIn: false,
    keyed: false,
    shape: {},
    attempt: Effect.map(forgetful, ({ token }) => ({
      path: "/api/auth/password/reset",
      body: { token, password: newPassword },
      headers: fromAfar()
    })),
    typed: Effect.gen(function*() {
      const { client } = yield* ApiTest
      const { member, token } = yield* forgetful
      const reset = client.identity.resetPassword({
        payload: { token: Redacted.make(token), password: redacted(newPassword) }
      })
      yield* reset
      assert.strictEqual((yield* Effect.flip(reset))._tag, "InvalidToken")
      const login = { email: Email.make(member.email), password: Redacted.make(newPassword) }
      assert.isTrue((yield* client.identity.login({ payload: login })).user.emailVerified)
    }),
    wrong: [
      [{ token: "" }, "/body/token"],
      [{ token: "x".repeat(129) }, "/body/token"],
      [{ password: "too short" }, "/body/password"]
    ]
  },
  "POST /api/auth/email/verify": {
    status: 204,
    signedIn: false,
    keyed: false,
    shape: {},
    attempt: Effect.map(unconfirmed, ({ token }) => ({
      path: "/api/auth/email/verify",
      body: { token },
      headers: fromAfar()
    })),
    typed: Effect.gen(function*() {
      const { client } = yield* ApiTest
      const { member, token } = yield* unconfirmed
      assert.isFalse((yield* client.account.me().pipe(as(member))).emailVerified)
      const verify = client.identity.verifyEmail({ payload: { token: Redacted.make(token) } })
      yield* verify
      assert.isTrue((yield* client.account.me().pipe(as(member))).emailVerified)
      assert.strictEqual((yield* Effect.flip(verify))._tag, "InvalidToken")
    }),
    wrong: [[{ token: 1 }, "/body/token"], [{ token: "" }, "/body/token"]]
  },
  "POST /api/auth/email/resend": {
    status: 202,
    signedIn: true,
    keyed: false,
    shape: {},
    attempt: Effect.map(register(), ({ token }) => ({ path: "/api/auth/email/resend", token, headers: fromAfar() })),
    typed: Effect.gen(function*() {
      const { client } = yield* ApiTest
      const { member } = yield* unconfirmed
      yield* client.account.resendVerification().pipe(as(member))
      yield* awaitToken(member.email, subjects.verify, 2)
      assert.lengthOf(yield* mailsTo(member.email, subjects.verify), 2)
    })
  },
  "GET /api/auth/me/export": {
    status: 200,
    signedIn: true,
    keyed: false,
    shape: {
      "": ["exportedAt", "user", "sessions", "securityEvents", "wallets", "elsewhere"],
      "sessions.0": session,
      "securityEvents.0": [
        "id",
        "kind",
        "userId",
        "by",
        "sessionId",
        "reason",
        "roles",
        "subject",
        "scope",
        "requestId",
        "createdAt"
      ],
      "wallets.0": ["id", "currency", "balance", "held", "available"]
    },
    attempt: Effect.gen(function*() {
      const member = yield* register()
      yield* give(member.id, 5)
      return { path: "/api/auth/me/export", token: member.token }
    }),
    typed: Effect.gen(function*() {
      const { client } = yield* ApiTest
      const member = yield* register()
      const all = yield* client.account.exportMe().pipe(as(member))
      assert.strictEqual(all.user.email, member.email)
      // The request for the mail that a registration causes is recorded when the mail is made.
      const kinds = all.securityEvents.map(({ kind }) => kind).filter((kind) => kind !== "email_verification_requested")
      assert.deepStrictEqual(kinds, ["account_exported", "registered"])
    })
  },
  "DELETE /api/auth/me": {
    status: 204,
    signedIn: true,
    keyed: false,
    shape: {},
    attempt: Effect.map(register(), ({ password, token }) => ({ path: "/api/auth/me", token, body: { password } })),
    typed: Effect.gen(function*() {
      const { client } = yield* ApiTest
      const member = yield* register()
      const erase = (password: string) =>
        client.account.eraseMe({ payload: { password: Redacted.make(password) } }).pipe(as(member))
      assert.strictEqual((yield* Effect.flip(erase("not the right passphrase")))._tag, "InvalidCredentials")
      yield* give(member.id, 5)
      const full = yield* Effect.flip(erase(member.password))
      assert.strictEqual(full._tag === "AccountNotEmpty" ? full.currencies.join() : full._tag, "NGN")
    }),
    wrong: [[{ password: "" }, "/body/password"], [{ password: 5 }, "/body/password"]]
  }
}
