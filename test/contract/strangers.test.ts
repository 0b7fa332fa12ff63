import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { fromAfar, send } from "../layers/ApiTest.ts"
import { Cast, Ground } from "./RouteContract.ts"

layer(Ground, { timeout: "60 seconds", excludeTestServices: true })("an API whose paths a stranger guesses", (it) => {
  it.effect("answers 404 and 405 a hundred times, then 429, and to members what it always does", () =>
    Effect.gen(function*() {
      const headers = fromAfar()
      const guesses = [
        { method: "GET", path: "/api/secret", headers },
        { method: "DELETE", path: "/api/auth/login", headers },
        { method: "POST", path: "/api/webhooks/stripe", body: {}, headers },
        { method: "GET", path: "/api/secret", token: "not.a.token", headers }
      ]
      const rounds = Array.from({ length: 25 }, () => guesses).flat()
      const answers = yield* Effect.forEach(rounds, send, { concurrency: 8 })
      assert.deepStrictEqual([...new Set(answers.map(({ status }) => status))].sort(), [404, 405])
      for (const guess of guesses) {
        const answer = yield* send(guess)
        assert.deepInclude(answer.json, { status: 429, code: "TooManyRequests", instance: guess.path })
        assert.isAtLeast(Number(answer.headers.get("retry-after")), 1)
      }
      const { alice } = yield* Cast
      assert.strictEqual((yield* send({ method: "GET", path: "/api/secret", token: alice.token, headers })).status, 404)
      assert.strictEqual((yield* send({ method: "GET", path: "/livez", headers })).status, 200)
      const preflight = { ...headers, "access-control-request-method": "POST" }
      const asked = yield* send({ method: "OPTIONS", path: "/api/auth/login", headers: preflight })
      assert.strictEqual(asked.status, 204)
    }))
})
