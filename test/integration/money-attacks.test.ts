import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { randomUUID } from "node:crypto"
import { ApiTest, give, type Member, register, send } from "../layers/ApiTest.ts"

const draft = Effect.fnUntraced(function*(sponsor: Member) {
  const body = { title: "t", brief: "b", reward: { amount: 100, currency: "NGN" }, slots: 1 }
  const answer = yield* send({ method: "POST", path: "/api/campaigns", token: sponsor.token, body })
  return `/api/campaigns/${String(answer.json["id"])}`
})

layer(ApiTest.layer(), { timeout: "60 seconds", excludeTestServices: true })("attacks on money", (it) => {
  it.effect("take a key for the same in every spelling of the path that the router takes", () =>
    Effect.gen(function*() {
      const [alice, bob] = yield* Effect.all([register(), register("sponsor")])
      for (const { id } of [alice, bob]) yield* give(id, 1_000)
      const transfer = { toUserId: bob.id, amount: 7, currency: "NGN" }
      const charge = { amount: 5, currency: "NGN" }
      const campaign = yield* draft(bob)
      const ways = [
        { token: alice.token, body: transfer, path: "/api/wallet/transfers", escaped: "/api/wallet/%74ransfers" },
        { token: alice.token, body: charge, path: "/api/payment/charge", escaped: "/api/payment/%63harge" },
        { token: bob.token, body: charge, path: `${campaign}/fund`, escaped: `${campaign}/%66und` }
      ]
      for (const { body, escaped, path, token } of ways) {
        const call = { method: "POST", token, body, key: randomUUID() }
        const first = yield* send({ ...call, path })
        assert.isBelow(first.status, 300, first.text)
        for (const other of [`${path}/`, path.replace("/api/", "/api//"), path.replace("/api", "/API"), escaped]) {
          const again = yield* send({ ...call, path: other })
          const replayed = again.headers.get("idempotency-replayed")
          assert.deepStrictEqual([other, again.text, replayed], [other, first.text, "true"])
        }
      }
    }))
})
