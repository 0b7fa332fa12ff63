import { PgConnection } from "@effect/sql-pg"
import { assert, layer } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { randomUUID } from "node:crypto"
import { ApiTest, countOf, eventually, give, type Member, register, send } from "../layers/ApiTest.ts"
import { lockWatch } from "../layers/LockWatch.ts"
import { PgTest } from "../layers/PgTest.ts"

const draft = Effect.fnUntraced(function*(sponsor: Member) {
  const body = { title: "t", brief: "b", reward: { amount: 100, currency: "NGN" }, slots: 1 }
  const answer = yield* send({ method: "POST", path: "/api/campaigns", token: sponsor.token, body })
  return `/api/campaigns/${String(answer.json["id"])}`
})

layer(ApiTest.layer(), { timeout: "60 seconds", excludeTestServices: true })("attacks on money", (it) => {
  it.effect("take a key for the same in every spelling of the path that the router takes, and reach nothing by the others", () =>
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
        const again = yield* send({ ...call, path: escaped })
        const replayed = again.headers.get("idempotency-replayed")
        assert.deepStrictEqual([escaped, again.text, replayed], [escaped, first.text, "true"])
        for (const other of [`${path}/`, path.replace("/api/", "/api//"), path.replace("/api", "/API")]) {
          const { status } = yield* send({ ...call, path: other })
          // `transfers/` is a transfer without an id, which can be read and not made.
          assert.include([404, 405], status, other)
        }
      }
    }))

  it.effect("leave no money in a campaign that is closed while it is funded", () =>
    Effect.gen(function*() {
      const sponsor = yield* register("sponsor")
      yield* give(sponsor.id, 1_000)
      const path = yield* draft(sponsor)
      const act = (what: string, body?: unknown) =>
        send({ method: "POST", path: `${path}/${what}`, token: sponsor.token, key: randomUUID(), body })
      const waits = yield* lockWatch
      const holder = yield* PgConnection.make({ url: (yield* PgTest).ownerUrl })
      // Balances can be read, nothing can be posted: the money is on its way when the campaign closes.
      yield* holder.queryValues("BEGIN", [])
      yield* holder.queryValues("LOCK TABLE wallet.accounts IN EXCLUSIVE MODE", [])
      const funding = yield* Effect.forkScoped(act("fund", { amount: 50, currency: "NGN" }))
      yield* eventually(waits("%wallet.post%"), (is) => is)
      const closed = yield* act("close")
      yield* holder.queryValues("COMMIT", [])
      const funded = yield* Fiber.join(funding)
      assert.deepStrictEqual([closed.status, closed.json["status"]], [200, "closed"], closed.text)
      assert.deepStrictEqual([funded.status, funded.json["code"]], [409, "IllegalCampaignTransition"], funded.text)
      const { json } = yield* send({ method: "GET", path, token: sponsor.token })
      assert.deepInclude(json, { status: "closed", escrow: { amount: 0, currency: "NGN" } })
      const home = `SELECT balance FROM wallet.accounts WHERE kind = 'wallet' AND owner = '${sponsor.id}'`
      assert.strictEqual(yield* countOf(home), 1_000)
    }))
})
