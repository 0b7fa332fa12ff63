import { assert, layer } from "@effect/vitest"
import { Context, Effect, Predicate, Schema } from "effect"
import { HttpApi } from "effect/http-api"
import { Role } from "../../src/domain/Principal.ts"
import { Api } from "../../src/http/Api.ts"
import { Authorization } from "../../src/http/middleware/Authorization.ts"
import { Idempotency } from "../../src/http/middleware/Idempotency.ts"
import { AddressRateLimit, RateLimit } from "../../src/http/middleware/RateLimit.ts"
import { type Access, AccessPolicy, RoleRequired } from "../../src/http/middleware/RoleRequired.ts"
import { type Answer, type Call, fromAfar, send } from "../layers/ApiTest.ts"
import { judge } from "../layers/OpenApiJudge.ts"
import { contracts } from "./AllContracts.ts"
import { Cast, Ground, type RouteContract } from "./RouteContract.ts"

const all = Object.entries(contracts).map(([route, contract]) => ({
  route,
  method: route.split(" ")[0] ?? "",
  contract
}))
type One = (typeof all)[number]
const isRole = Schema.is(Role)

interface Perimeter {
  readonly route: string
  readonly signedIn: boolean
  readonly keyed: boolean
  /** Who may call it, as it declares; undefined where it does not enforce the role that it names. */
  readonly access: Access | undefined
}

const served: Array<Perimeter> = []
/** Endpoints whose callers nothing counts. */
const uncounted: Array<string> = []
HttpApi.reflect(Api, {
  onGroup: () => {},
  onEndpoint: ({ endpoint, middleware }) => {
    const has = (key: string) => [...middleware].some((one) => one.key === key)
    const access = Context.get(endpoint.annotations, AccessPolicy)
    if (!has(RateLimit.key) && !has(AddressRateLimit.key)) uncounted.push(`${endpoint.method} ${endpoint.path}`)
    served.push({
      route: `${endpoint.method} ${endpoint.path}`,
      signedIn: has(Authorization.key),
      keyed: has(Idempotency.key),
      access: has(RoleRequired.key) || !isRole(access) ? access : undefined
    })
  }
})

const at = (value: unknown, path: string): unknown =>
  path === ""
    ? value
    : path.split(".").reduce<unknown>(
      (node, key) => Array.isArray(node) ? node[Number(key)] : Predicate.isObject(node) ? node[key] : undefined,
      value
    )

/** The answer's objects have the promised members and no others. */
const hasShape = (shape: RouteContract["shape"], { json }: Answer) => {
  for (const [path, members] of Object.entries(shape)) {
    const object = at(json, path)
    const present = Predicate.isObject(object) ? Object.keys(object).sort() : []
    const wanted = members.filter((name) => !name.endsWith("?") || present.includes(name.slice(0, -1)))
      .map((name) => name.replace("?", "")).sort()
    assert.deepStrictEqual(present, wanted, `members of ${path === "" ? "the answer" : path}`)
  }
}

const isProblem = (answer: Answer, status: number, code: string) => {
  assert.strictEqual(answer.status, status, answer.text)
  assert.deepInclude(answer.json, { status, code }, answer.text)
}

const pointersOf = ({ json }: Answer): ReadonlyArray<unknown> => {
  const { errors } = json
  return Array.isArray(errors) ? errors.map((error: unknown) => at(error, "pointer")) : []
}

class Document extends Context.Service<Document, { readonly json: Answer["json"] }>()("midnight/test/Document") {}
const withDocument = Effect.provideServiceEffect(Document, send({ method: "GET", path: "/openapi.json" }))

/** Sends a good request in a changed form, and holds the answer against the published document. */
const attempt = Effect.fnUntraced(function*({ contract, method }: One, change: (call: Call) => Call = (call) => call) {
  const call = change({ method, ...(yield* contract.attempt) })
  // From an address of its own: so many refusals from one would meet the limit of those without a token.
  const answer = yield* send({ ...call, headers: { ...fromAfar(), ...call.headers } })
  const { json: document } = yield* Document
  const path = call.path.split("?", 1)[0] ?? ""
  const contentType = answer.headers.get("content-type") ?? ""
  assert.deepStrictEqual(judge(document, { ...answer, method, path, contentType }), [])
  return answer
}, withDocument)

const withBody = (part: object) => (call: Call): Call => ({
  ...call,
  body: { ...(Predicate.isObject(call.body) ? call.body : {}), ...part }
})
const withoutToken = ({ token: _, ...call }: Call): Call => call
const hasJsonBody = (one: One) => (one.contract.wrong ?? []).length > 0

layer(Ground, { timeout: "60 seconds", excludeTestServices: true })("every route of the contract", (it) => {
  it("has a contract here, with the perimeter that the list of routes gives it", () => {
    const promised = all.map(({ contract: { keyed, role, signedIn }, route }): Perimeter => ({
      route,
      signedIn,
      keyed,
      access: role ?? (signedIn ? "signedIn" : "anyone")
    }))
    const byRoute = (a: { readonly route: string }, b: { readonly route: string }) => a.route < b.route ? -1 : 1
    assert.deepStrictEqual(served.toSorted(byRoute), promised.toSorted(byRoute))
  })

  it("counts its callers by user or by address, but for those whose policy is to count nobody", () => {
    assert.deepStrictEqual(uncounted.toSorted(), [
      "GET /.well-known/jwks.json",
      "GET /health",
      "GET /livez",
      "GET /problems/:code",
      "GET /readyz",
      // Forged ones are counted, once the signature was looked at.
      "POST /api/webhooks/paystack",
      "POST /api/webhooks/sandbox",
      "POST /api/webhooks/stripe"
    ])
  })

  it("declares who may call it, whoever adds it", () => {
    assert.deepStrictEqual(served.filter(({ access }) => access === undefined), [])
  })

  for (const one of all) {
    const { contract, route } = one

    it.effect(`${route} answers ${contract.status} with the promised members, as the document says`, () =>
      Effect.gen(function*() {
        const answer = yield* attempt(one)
        assert.strictEqual(answer.status, contract.status, answer.text)
        hasShape(contract.shape, answer)
        if (contract.status === 204) assert.strictEqual(answer.text, "")
      }))

    it.effect(`${route} serves the typed client`, () => contract.typed)
  }

  for (const one of all.filter(({ contract }) => contract.signedIn)) {
    it.effect(`${one.route} answers 401 without a token and with a wrong one`, () =>
      Effect.gen(function*() {
        const answers = [
          yield* attempt(one, withoutToken),
          yield* attempt(one, (call) => ({ ...call, token: "not.a.token" })),
          yield* attempt(one, ({ token, ...call }) => ({ ...call, headers: { authorization: `Basic ${token}` } }))
        ]
        for (const answer of answers) {
          isProblem(answer, 401, "Unauthorized")
          assert.match(answer.headers.get("www-authenticate") ?? "", /^Bearer/)
        }
      }))
  }

  for (const one of all.filter(({ contract }) => contract.role !== undefined)) {
    it.effect(`${one.route} answers 403 to who lacks the role ${one.contract.role}`, () =>
      Effect.gen(function*() {
        const { alice, sponsor } = yield* Cast
        for (const { token } of one.contract.role === "sponsor" ? [alice] : [alice, sponsor]) {
          isProblem(yield* attempt(one, (call) => ({ ...call, token })), 403, "Forbidden")
        }
      }))
  }

  for (const one of all.filter(({ contract }) => contract.owned)) {
    it.effect(`${one.route} answers another member as if it did not exist`, () =>
      Effect.gen(function*() {
        const { bob } = yield* Cast
        const asBob = (call: Call) => ({ ...call, token: bob.token })
        const foreign = yield* attempt(one, asBob)
        const absent = yield* attempt(one, (call) =>
          asBob({ ...call, path: call.path.replace(/[0-9a-f-]{36}/, "0198c0de-0000-7000-8000-000000000000") }))
        isProblem(foreign, 404, "NotFound")
        const { instance: _a, request_id: _b, trace_id: _c, ...said } = foreign.json
        const { instance: _d, request_id: _e, trace_id: _f, ...saidOfNothing } = absent.json
        assert.deepStrictEqual(said, saidOfNothing)
      }))
  }

  for (const one of all.filter(({ route }) => route.includes("/:id"))) {
    it.effect(`${one.route} answers 400 to an id that is none`, () =>
      Effect.gen(function*() {
        for (const id of ["1", "%F0%9F%A6%86", "0198C0DE-0000-7000-8000-000000000000"]) {
          const answer = yield* attempt(one, (call) => ({ ...call, path: call.path.replace(/[0-9a-f-]{36}/, id) }))
          isProblem(answer, 400, "InvalidRequest")
          assert.deepStrictEqual(pointersOf(answer), ["/path/id"])
        }
      }))
  }

  for (const one of all.filter(hasJsonBody)) {
    it.effect(`${one.route} names the place of wrong, missing and unknown members`, () =>
      Effect.gen(function*() {
        for (const [part, pointer] of [...one.contract.wrong ?? [], [{ zzz: 1 }, "/body/zzz"] as const]) {
          const answer = yield* attempt(one, withBody(part))
          isProblem(answer, 400, "InvalidRequest")
          assert.include(pointersOf(answer), pointer, JSON.stringify(part))
        }
      }))

    it.effect(`${one.route} refuses a body that is no JSON, or another media type`, () =>
      Effect.gen(function*() {
        isProblem(yield* attempt(one, (call) => ({ ...call, body: "{\"amount\":" })), 400, "InvalidRequest")
        isProblem(yield* attempt(one, (call) => ({ ...call, body: "[]" })), 400, "InvalidRequest")
        const text = { "content-type": "text/plain" }
        isProblem(yield* attempt(one, (call) => ({ ...call, headers: text })), 415, "UnsupportedMediaType")
        const big = yield* attempt(one, withBody({ zzz: "x".repeat(65_536) }))
        isProblem(big, 413, "PayloadTooLarge")
        assert.strictEqual(big.json["limit_bytes"], 65_536)
      }))
  }

  for (const one of all.filter(({ contract }) => contract.wrongQuery !== undefined)) {
    it.effect(`${one.route} names the place of a wrong parameter`, () =>
      Effect.gen(function*() {
        for (const [query, pointer] of one.contract.wrongQuery ?? []) {
          const at = ({ path }: Call) => `${path.split("?", 1)[0]}?${query}`
          const answer = yield* attempt(one, (call) => ({ ...call, path: at(call) }))
          isProblem(answer, 400, "InvalidRequest")
          assert.include(pointersOf(answer), pointer, query)
        }
      }))
  }

  for (const path of new Set(all.map(({ route }) => route.split(" ")[1] ?? ""))) {
    it.effect(`${path} answers 405 to a method that it does not have, and Allow names those it has`, () =>
      Effect.gen(function*() {
        const methods = all.filter(({ route }) => route.endsWith(` ${path}`)).map(({ method }) => method)
        const answer = yield* send({ method: "PUT", path: path.replace(":id", "1").replace(":code", "1") })
        isProblem(answer, 405, "MethodNotAllowed")
        const allowed = (answer.headers.get("allow") ?? "").split(", ")
        assert.includeMembers(allowed, methods)
        assert.notInclude(allowed, "PUT")
      }))
  }
})
