import { assert, layer } from "@effect/vitest"
import { Context, Effect } from "effect"
import { HttpApi } from "effect/http-api"
import { randomUUID } from "node:crypto"
import { Api } from "../../src/http/Api.ts"
import * as Policies from "../../src/http/middleware/Policies.ts"
import { RatePolicies } from "../../src/http/middleware/RateLimit.ts"
import { type Answer, fromAfar, give, owner, register, send } from "../layers/ApiTest.ts"
import { Ground } from "./RouteContract.ts"

/** What docs/security.md promises of each route beyond `user` and `anonymous`, and who counts it. */
const promised = {
  "DELETE /api/auth/me": ["failed-logins database", "failed-logins-address database"],
  "GET /api/auth/me/export": ["export door"],
  "POST /api/auth/email/resend": ["resend door", "forgot door"],
  "POST /api/auth/login": ["login door", "failed-logins database", "failed-logins-address database"],
  "POST /api/auth/password/change": ["failed-logins database", "failed-logins-address database"],
  "POST /api/auth/password/forgot": ["forgot door"],
  "POST /api/auth/refresh": ["refresh door"],
  "POST /api/auth/register": ["register door"],
  "POST /api/payment/payouts": ["payouts database"],
  "POST /api/video/uploads": ["uploads door", "unfinished-uploads database"],
  "POST /api/wallet/transfers": ["email-transfers handler"],
  "POST /api/webhooks/paystack": ["forged-webhooks handler"],
  "POST /api/webhooks/sandbox": ["forged-webhooks handler"],
  "POST /api/webhooks/stripe": ["forged-webhooks handler"]
}

/** A refusal tells of the policy that it comes from, in every header that knows policies, and the same time everywhere. */
const isRefusal = (answer: Answer, policy: string, limit: number, windowSeconds: number) => {
  assert.strictEqual(answer.status, 429, answer.text)
  assert.deepInclude(answer.json, { code: "TooManyRequests", policy })
  const seconds = String(answer.json["retry_after"])
  assert.strictEqual(answer.headers.get("retry-after"), seconds)
  assert.include((answer.headers.get("ratelimit") ?? "").split(", "), `"${policy}";r=0;t=${seconds}`)
  assert.include(
    (answer.headers.get("ratelimit-policy") ?? "").split(", "),
    `"${policy}";q=${limit};w=${windowSeconds}`
  )
  const older = ["limit", "remaining", "reset"].map((name) => answer.headers.get(`ratelimit-${name}`))
  assert.deepStrictEqual(older, [String(limit), "0", seconds])
  return Number(seconds)
}

layer(Ground, { timeout: "60 seconds", excludeTestServices: true })("limits", (it) => {
  it("are declared by each route that has some of its own, whoever counts them", () => {
    const declared: Array<readonly [string, ReadonlyArray<string>]> = []
    HttpApi.reflect(Api, {
      onGroup: () => {},
      onEndpoint: ({ endpoint }) => {
        const own = Context.get(endpoint.annotations, RatePolicies)
        const names = own.map(({ countedBy, name }) => `${name} ${countedBy}`)
        if (own.length > 0) declared.push([`${endpoint.method} ${endpoint.path}`, names])
      }
    })
    assert.deepStrictEqual(Object.fromEntries(declared), promised)
  })

  it("let everything pass that the store cannot count, but logins", () => {
    const closed = Object.values(Policies).filter((one) => one.countedBy !== "database" && one.whenAway === "closed")
    assert.deepStrictEqual(closed.map(({ name }) => name), ["login"])
  })

  it.effect("of failed logins tell their standing where they refuse", () =>
    Effect.gen(function*() {
      const guess = send({
        method: "POST",
        path: "/api/auth/login",
        headers: fromAfar(),
        body: { email: `${randomUUID()}@example.org`, password: "not the right one" }
      })
      for (let n = 0; n < 5; n++) {
        const answer = yield* guess
        assert.strictEqual(answer.status, 401)
        assert.notInclude(answer.headers.get("ratelimit") ?? "", "failed-logins")
      }
      assert.isAbove(isRefusal(yield* guess, "failed-logins", 5, 900), 800)
    }))

  it.effect("of uploads at once tell their standing where they refuse", () =>
    Effect.gen(function*() {
      const { token } = yield* register()
      const body = { bytes: 1_000, contentType: "video/mp4" }
      const announce = send({ method: "POST", path: "/api/video/uploads", token, body })
      for (let n = 0; n < 2; n++) assert.strictEqual((yield* announce).status, 201)
      isRefusal(yield* announce, "unfinished-uploads", 2, 900)
    }))

  it.effect("of payouts tell their standing where they refuse, and when there is room for the next", () =>
    Effect.gen(function*() {
      const { id, token } = yield* register()
      yield* give(id, 1_000)
      const destination = { type: "bank", country: "NG", bankCode: "058", accountNumber: "0001230002" }
      const body = { amount: 1, currency: "NGN", destination: { ...destination, accountName: "Ada Obi" } }
      const request = Effect.suspend(() =>
        send({ method: "POST", path: "/api/payment/payouts", key: randomUUID(), token, body })
      )
      for (let n = 0; n < 30; n++) assert.strictEqual((yield* request).status, 201)
      // The oldest of them would have to wait for a minute to pass; 20 s are left of it.
      yield* owner(`UPDATE payments.outgoing SET created_at = now() - interval '40 seconds'
                     WHERE id = (SELECT id FROM payments.outgoing WHERE user_id = '${id}' ORDER BY created_at LIMIT 1)`)
      assert.isAtMost(isRefusal(yield* request, "payouts", 30, 60), 20)
      yield* owner(`UPDATE payments.outgoing SET created_at = now() - interval '61 seconds'
                     WHERE id = (SELECT id FROM payments.outgoing WHERE user_id = '${id}' ORDER BY created_at LIMIT 1)`)
      assert.strictEqual((yield* request).status, 201)
      isRefusal(yield* request, "payouts", 30, 60)
    }))
})
