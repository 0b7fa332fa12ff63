import { assert } from "@effect/vitest"
import { Effect, Option, Redacted } from "effect"
import { Email } from "../../src/domain/Identity.ts"
import { UserId } from "../../src/domain/Ids.ts"
import { ApiTest, as, register } from "../layers/ApiTest.ts"
import { Cast, type Contracts } from "./RouteContract.ts"
import { wrongPage } from "./WalletContracts.ts"

const adminUser = ["id", "email", "displayName", "roles", "emailVerified", "createdAt", "disabledAt"]
const reason = "a ticket of the support desk"

const target = Effect.gen(function*() {
  const { admin } = yield* Cast
  return { admin, member: yield* register() }
})

const act = (verb: "disable" | "enable") =>
  Effect.map(target, ({ admin, member }) => ({
    path: `/api/admin/users/${member.id}/${verb}`,
    token: admin.token,
    body: { reason }
  }))

const stranger = UserId.make("0198c0de-0000-7000-8000-000000000000")

export const adminUserContracts: Contracts = {
  "GET /api/admin/users": {
    status: 200,
    signedIn: true,
    keyed: false,
    role: "admin",
    shape: { "": ["items", "nextCursor"], "items.0": adminUser },
    attempt: Effect.map(Cast, ({ admin: { token } }) => ({ path: "/api/admin/users", token })),
    typed: Effect.gen(function*() {
      const { client } = yield* ApiTest
      const { admin, bob } = yield* Cast
      const named = yield* client.adminUsers.list({ query: { email: Email.make(bob.email) } }).pipe(as(admin))
      assert.deepStrictEqual(named.items.map(({ disabledAt, id }) => ({ disabledAt, id })), [
        { id: bob.id, disabledAt: Option.none() }
      ])
      const first = yield* client.adminUsers.list({ query: { limit: 2 } }).pipe(as(admin))
      const next = yield* client.adminUsers.list({ query: { limit: 2, cursor: first.nextCursor ?? "" } }).pipe(
        as(admin)
      )
      assert.strictEqual(new Set([...first.items, ...next.items].map(({ id }) => id)).size, 4)
    }),
    wrongQuery: [...wrongPage, ["email=nobody", "/query/email"]]
  },
  "GET /api/admin/users/:id": {
    status: 200,
    signedIn: true,
    keyed: false,
    role: "admin",
    shape: { "": adminUser },
    attempt: Effect.map(Cast, ({ admin, bob }) => ({ path: `/api/admin/users/${bob.id}`, token: admin.token })),
    typed: Effect.gen(function*() {
      const { client } = yield* ApiTest
      const { admin, alice } = yield* Cast
      assert.strictEqual(
        (yield* client.adminUsers.find({ params: { id: alice.id } }).pipe(as(admin))).email,
        alice.email
      )
      const absent = client.adminUsers.find({ params: { id: stranger } }).pipe(as(admin))
      assert.strictEqual((yield* Effect.flip(absent))._tag, "NotFound")
    })
  },
  "POST /api/admin/users/:id/disable": {
    status: 200,
    signedIn: true,
    keyed: false,
    role: "admin",
    shape: { "": adminUser },
    attempt: act("disable"),
    typed: Effect.gen(function*() {
      const { client } = yield* ApiTest
      const { admin, member } = yield* target
      const disable = (id: UserId) => client.adminUsers.disable({ params: { id }, payload: { reason } }).pipe(as(admin))
      assert.isTrue(Option.isSome((yield* disable(member.id)).disabledAt))
      assert.strictEqual((yield* Effect.flip(client.account.me().pipe(as(member))))._tag, "Unauthorized")
      assert.strictEqual((yield* Effect.flip(disable(admin.id)))._tag, "OwnAccount")
      assert.strictEqual((yield* Effect.flip(disable(stranger)))._tag, "NotFound")
    }),
    wrong: [[{ reason: "" }, "/body/reason"], [{ reason: 5 }, "/body/reason"]]
  },
  "POST /api/admin/users/:id/enable": {
    status: 200,
    signedIn: true,
    keyed: false,
    role: "admin",
    shape: { "": adminUser },
    attempt: act("enable"),
    typed: Effect.gen(function*() {
      const { client } = yield* ApiTest
      const { admin, member } = yield* target
      const request = { params: { id: member.id }, payload: { reason } }
      yield* client.adminUsers.disable(request).pipe(as(admin))
      assert.isTrue(Option.isNone((yield* client.adminUsers.enable(request).pipe(as(admin))).disabledAt))
      const login = { email: Email.make(member.email), password: Redacted.make(member.password) }
      yield* client.identity.login({ payload: login })
    }),
    wrong: [[{ reason: "no" }, "/body/reason"]]
  },
  "POST /api/admin/users/:id/roles": {
    status: 200,
    signedIn: true,
    keyed: false,
    role: "admin",
    shape: { "": adminUser },
    attempt: Effect.map(target, ({ admin, member }) => ({
      path: `/api/admin/users/${member.id}/roles`,
      token: admin.token,
      body: { roles: ["member", "reviewer"], reason }
    })),
    typed: Effect.gen(function*() {
      const { client } = yield* ApiTest
      const { admin, member } = yield* target
      const set = (id: UserId, roles: ReadonlyArray<"member" | "sponsor">) =>
        client.adminUsers.setRoles({ params: { id }, payload: { roles, reason } }).pipe(as(admin))
      assert.deepStrictEqual((yield* set(member.id, ["member", "sponsor"])).roles, ["member", "sponsor"])
      // The token still says what the account was.
      assert.strictEqual((yield* Effect.flip(client.account.me().pipe(as(member))))._tag, "Unauthorized")
      assert.strictEqual((yield* Effect.flip(set(admin.id, ["member"])))._tag, "OwnAccount")
    }),
    wrong: [
      [{ roles: [] }, "/body/roles"],
      [{ roles: ["owner"] }, "/body/roles/0"],
      [{ roles: ["member", "member"] }, "/body/roles"],
      [{ reason: null }, "/body/reason"]
    ]
  }
}
