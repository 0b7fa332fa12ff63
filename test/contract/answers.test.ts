import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { randomUUID } from "node:crypto"
import { type Answer, ApiTest, type Call, fromAfar, owner, send } from "../layers/ApiTest.ts"
import { Cast, Ground, problemMembers } from "./RouteContract.ts"

// As the security page lists them, typed here once more: whoever changes one of them must mean it.
const securityHeaders = {
  "strict-transport-security": "max-age=63072000; includeSubDomains",
  "x-content-type-options": "nosniff",
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
  "x-frame-options": "DENY",
  "referrer-policy": "no-referrer",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "cache-control": "no-store",
  "permissions-policy": "camera=(), microphone=(), geolocation=()",
  "x-xss-protection": "0",
  "origin-agent-cluster": "?1",
  "x-dns-prefetch-control": "off",
  "x-download-options": "noopen",
  "x-permitted-cross-domain-policies": "none"
}

const me: Call = { method: "GET", path: "/api/auth/me" }
const register = (body: unknown, headers: Readonly<Record<string, string>>): Call => ({
  method: "POST",
  path: "/api/auth/register",
  body,
  headers
})

/** The payments table is away, as after a migration gone wrong: nothing that a caller or a retry could mend. */
const withoutPayments = <A, E, R>(work: Effect.Effect<A, E, R>) =>
  Effect.acquireUseRelease(
    owner("ALTER TABLE payments.payments RENAME TO payments_away"),
    () => work,
    () => Effect.ignore(owner("ALTER TABLE payments.payments_away RENAME TO payments"))
  )

/** Twenty registrations an hour may come from an address; they count also when they are refused. */
const oneTooMany = Effect.gen(function*() {
  const call = register({}, fromAfar())
  const answers = yield* Effect.forEach(Array.from({ length: 20 }), () => send(call))
  assert.deepStrictEqual([...new Set(answers.map(({ status }) => status))], [400])
  return yield* send(call)
})

type Situation = readonly [status: number, code: string | undefined, Effect.Effect<Answer, unknown, ApiTest | Cast>]

const asAlice = (call: Call) => Effect.flatMap(Cast, ({ alice: { token } }) => send({ ...call, token }))
const charge = (more: Partial<Call>): Call => ({
  method: "POST",
  path: "/api/payment/charge",
  key: randomUUID(),
  body: { amount: 5, currency: "NGN" },
  ...more
})

const situations: ReadonlyArray<Situation> = [
  [200, undefined, asAlice(me)],
  [200, undefined, send({ method: "GET", path: "/health" })],
  [201, undefined, Effect.suspend(() => asAlice(charge({})))],
  [400, "InvalidRequest", asAlice({ method: "GET", path: "/api/payment/1" })],
  [400, "InvalidRequest", asAlice(charge({ body: "{" }))],
  [400, "IdempotencyKeyInvalid", asAlice(charge({ key: "" }))],
  [400, "UnsupportedCurrency", Effect.suspend(() => asAlice(charge({ body: { amount: 5, currency: "EUR" } })))],
  [401, "Unauthorized", Effect.suspend(() => send({ ...me, headers: fromAfar() }))],
  [
    403,
    "Forbidden",
    asAlice({
      method: "POST",
      path: "/api/campaigns",
      body: { title: "A", brief: "B", reward: { amount: 5, currency: "NGN" }, slots: 1 }
    })
  ],
  [404, "NotFound", send({ method: "GET", path: "/no/such/route" })],
  [404, "NotFound", asAlice({ method: "GET", path: `/api/payment/${randomUUID()}` })],
  [405, "MethodNotAllowed", send({ method: "DELETE", path: "/api/payment/charge" })],
  [413, "PayloadTooLarge", asAlice(charge({ body: "x".repeat(65_537) }))],
  [415, "UnsupportedMediaType", asAlice(charge({ headers: { "content-type": "application/xml" } }))],
  [429, "TooManyRequests", oneTooMany]
]

const isComplete = (answer: Answer, { path, requestId }: { readonly path?: string; readonly requestId?: string }) => {
  for (const [name, value] of Object.entries(securityHeaders)) assert.strictEqual(answer.headers.get(name), value, name)
  for (const name of ["server", "x-powered-by"]) assert.isFalse(answer.headers.has(name), name)
  assert.match(answer.headers.get("x-request-id") ?? "", /^[A-Za-z0-9._-]{1,128}$/)
  if (requestId !== undefined) assert.strictEqual(answer.headers.get("x-request-id"), requestId)
  if (path !== undefined) assert.strictEqual(answer.json["instance"], path)
}

const isProblem = (answer: Answer, code: string) => {
  assert.strictEqual(answer.headers.get("content-type"), "application/problem+json")
  assert.includeMembers(Object.keys(answer.json), problemMembers)
  assert.deepInclude(answer.json, { code, status: answer.status })
  assert.strictEqual(answer.json["type"], `/problems/${code.replace(/(?<!^)([A-Z])/g, "-$1").toLowerCase()}`)
  assert.strictEqual(answer.json["request_id"], answer.headers.get("x-request-id"))
  assert.match(String(answer.json["trace_id"]), /^[0-9a-f]{32}$/)
  for (const member of Object.keys(answer.json)) {
    assert.match(member, /^[a-z]+(_[a-z]+)*$/, "own members are snake_case")
  }
}

layer(Ground, { timeout: "60 seconds", excludeTestServices: true })("every answer", (it) => {
  for (const [status, code, situation] of situations) {
    it.effect(`with status ${status}${code === undefined ? "" : `, ${code},`} has the headers and members of all`, () =>
      Effect.gen(function*() {
        const answer = yield* situation
        assert.strictEqual(answer.status, status, answer.text)
        isComplete(answer, {})
        if (code !== undefined) {
          isProblem(answer, code)
          const explained = yield* send({ method: "GET", path: String(answer.json["type"]) })
          assert.deepInclude(explained.json, { code, status, type: answer.json["type"] })
        }
        if (status === 401) assert.match(answer.headers.get("www-authenticate") ?? "", /^Bearer/)
        if (status === 405) assert.include((answer.headers.get("allow") ?? "").split(", "), "POST")
        if (status === 429) {
          assert.strictEqual(answer.headers.get("retry-after"), String(answer.json["retry_after"]))
          assert.match(answer.headers.get("ratelimit") ?? "", /^"register";r=0;t=\d+$/)
        }
      }))
  }

  it.effect("with status 500 says nothing of what went wrong, and has them too", () =>
    Effect.gen(function*() {
      const answer = yield* withoutPayments(asAlice({ method: "GET", path: "/api/payment" }))
      assert.strictEqual(answer.status, 500, answer.text)
      isComplete(answer, { path: "/api/payment" })
      isProblem(answer, "InternalError")
      assert.notMatch(answer.text, /relation|payments_away|postgres|sql/i)
      assert.strictEqual((yield* asAlice({ method: "GET", path: "/api/payment" })).status, 200)
    }))

  it.effect("carries the caller's request id when it is harmless, and a new one when not", () =>
    Effect.gen(function*() {
      const ask = (id: string) =>
        send({ method: "GET", path: "/no/such?token=secret", headers: { "x-request-id": id } })
      isComplete(yield* ask("a-caller.of_1"), { requestId: "a-caller.of_1", path: "/no/such" })
      const long = yield* ask("x".repeat(129))
      assert.match(long.headers.get("x-request-id") ?? "", /^[0-9a-f-]{36}$/)
      const odd = yield* ask("an id <script>")
      assert.match(odd.headers.get("x-request-id") ?? "", /^[0-9a-f-]{36}$/)
    }))

  it.effect("says where the caller stands, by the policies of its route", () =>
    Effect.gen(function*() {
      const { alice: { token } } = yield* Cast
      const policyOf = (call: Call) =>
        Effect.map(send(call), ({ headers }) => {
          const standing = (headers.get("ratelimit") ?? "").split(", ")
          for (const one of standing) assert.match(one, /^"[a-z-]+";r=\d+;t=\d+$/)
          const left = standing.map((one) => Number(/r=(\d+)/.exec(one)?.[1]))
          assert.strictEqual(Number(headers.get("ratelimit-remaining")), Math.min(...left))
          assert.isAbove(Number(headers.get("ratelimit-reset")), 0)
          assert.isAbove(Number(headers.get("ratelimit-limit")), 0)
          return headers.get("ratelimit-policy")
        })
      const upload = { bytes: 1, contentType: "video/mp4" }
      assert.deepStrictEqual([
        yield* policyOf({ ...me, token }),
        yield* policyOf({ ...me, headers: fromAfar() }),
        yield* policyOf(register({}, fromAfar())),
        yield* policyOf({ method: "POST", path: "/api/auth/login", body: {}, headers: fromAfar() }),
        yield* policyOf({ method: "POST", path: "/api/auth/refresh", body: {}, headers: fromAfar() }),
        yield* policyOf({ method: "POST", path: "/api/video/uploads", body: upload, token })
      ], [
        "\"user\";q=300;w=10",
        "\"anonymous\";q=100;w=900",
        "\"register\";q=20;w=3600",
        "\"login\";q=300;w=900",
        "\"refresh\";q=300;w=900",
        "\"user\";q=300;w=10, \"uploads\";q=20;w=3600"
      ])
      const unlimited = [
        "/health",
        "/livez",
        "/readyz",
        "/openapi.json",
        "/docs",
        "/.well-known/jwks.json",
        "/problems/not-found"
      ]
      for (const path of unlimited) {
        const { headers, status } = yield* send({ method: "GET", path })
        assert.deepStrictEqual([status, headers.has("ratelimit")], [200, false], path)
      }
    }))

  it.effect("to a webhook may follow on 1 MiB, and no more", () =>
    Effect.gen(function*() {
      const post = (bytes: number) =>
        send({ method: "POST", path: "/api/webhooks/sandbox", body: "x".repeat(bytes), headers: fromAfar() })
      assert.deepStrictEqual((yield* post(1_048_576)).json["code"], "WebhookForged")
      const large = yield* post(1_048_577)
      assert.deepInclude(large.json, { status: 413, limit_bytes: 1_048_576 })
    }))

  it.effect("to HEAD is that of GET without its body, and to OPTIONS the methods", () =>
    Effect.gen(function*() {
      const head = yield* send({ method: "HEAD", path: "/livez" })
      assert.deepStrictEqual([head.status, head.text], [200, ""])
      isComplete(head, {})
      const options = yield* send({ method: "OPTIONS", path: "/api/payment/charge" })
      assert.strictEqual(options.status, 204)
      assert.include(options.headers.get("allow"), "POST")
    }))

  it.effect("that others may keep says so: the document, its page and the public keys", () =>
    Effect.gen(function*() {
      for (const path of ["/openapi.json", "/docs", "/.well-known/jwks.json"]) {
        const { headers } = yield* send({ method: "GET", path })
        assert.match(headers.get("cache-control") ?? "", /^public, max-age=\d+$/, path)
        assert.strictEqual(headers.get("x-content-type-options"), "nosniff")
      }
      const { json } = yield* send({ method: "GET", path: "/openapi.json" })
      assert.deepInclude(json, { openapi: "3.1.0" })
      assert.include(JSON.stringify(json), "\"Idempotency-Key\"")
    }))

  it.effect("that the document lets a route give is explained under its type", () =>
    Effect.gen(function*() {
      const { text } = yield* send({ method: "GET", path: "/openapi.json" })
      const types = new Set([...text.matchAll(/"\/problems\/[a-z-]+"/g)].map(([type]) => type.slice(1, -1)))
      assert.isAtLeast(types.size, 30)
      for (const type of types) assert.strictEqual((yield* send({ method: "GET", path: type })).status, 200, type)
    }))
})
