import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { randomUUID } from "node:crypto"
import { WebhookEndpointId } from "../../src/domain/Ids.ts"
import { WebhookEventId } from "../../src/domain/WebhookDeliveries.ts"
import { ApiTest, as, eventually, owner, register } from "../layers/ApiTest.ts"
import type { Contracts } from "./RouteContract.ts"
import { wrongPage } from "./WalletContracts.ts"

const url = "https://receiver.example.com/midnight"
const shown = ["id", "url", "events", "scope", "description", "status", "disabledReason", "failingSince", "createdAt"]
const delivery = ["id", "type", "state", "attempts", "lastFailure", "nextAttemptAt", "log", "createdAt"]
const path = "/api/webhook-endpoints"

/** A member with an endpoint: an account has ten places. */
const made = Effect.gen(function*() {
  const { client } = yield* ApiTest
  const member = yield* register()
  const endpoint = yield* client.webhookEndpoints.create({ payload: { url } }).pipe(as(member))
  return { member, endpoint, params: { id: endpoint.id } }
})

/** … and with an event that was given up, or is about to be: the name of the receiver leads nowhere. */
const announced = Effect.gen(function*() {
  const { client } = yield* ApiTest
  const { member, ...rest } = yield* made
  const id = randomUUID()
  for (const one of [randomUUID(), id]) {
    yield* owner(
      `WITH made AS (INSERT INTO webhooks.events (id, type, user_id, body, routed_at)
       VALUES ('evt_payment_failed_${one}', 'payment.failed', '${member.id}', '{}', now()) RETURNING seq)
     INSERT INTO webhooks.deliveries (seq, endpoint_id, state, give_up_at, created_at, updated_at)
     SELECT seq, '${rest.endpoint.id}', 'failed', now(), now(), now() FROM made`
    )
  }
  return { client, member, eventId: WebhookEventId.make(`evt_payment_failed_${id}`), ...rest }
})

const wrong: Contracts[string]["wrong"] = [
  [{ url: "ftp://example.com/hook" }, "/body/url"],
  [{ url: "https://user:word@example.com/" }, "/body/url"],
  [{ url: "no url at all" }, "/body/url"],
  [{ events: [] }, "/body/events"],
  [{ events: ["payment.succeeded", "payment.succeeded"] }, "/body/events"],
  [{ description: "" }, "/body/description"],
  [{ userId: randomUUID() }, "/body/userId"]
]

export const webhookContracts: Contracts = {
  "POST /api/webhook-endpoints": {
    status: 201,
    signedIn: true,
    keyed: false,
    shape: { "": [...shown, "secret"] },
    attempt: Effect.map(register(), ({ token }) => ({ path, token, body: { url, events: ["*"] } })),
    typed: Effect.gen(function*() {
      const { client } = yield* ApiTest
      const member = yield* register()
      const create = (payload: { readonly url: string; readonly scope?: "all" }) =>
        client.webhookEndpoints.create({ payload }).pipe(as(member))
      assert.match((yield* create({ url })).secret, /^whsec_[A-Za-z0-9+/]{43}=$/)
      for (const private_ of ["https://127.0.0.1/", "https://2130706433/", "https://[::1]/", "http://example.com/"]) {
        assert.strictEqual((yield* Effect.flip(create({ url: private_ })))._tag, "WebhookUrlNotAllowed")
      }
      assert.strictEqual((yield* Effect.flip(create({ url, scope: "all" })))._tag, "Forbidden")
      for (let n = 1; n < 10; n++) yield* create({ url })
      assert.strictEqual((yield* Effect.flip(create({ url })))._tag, "WebhookEndpointLimit")
    }),
    wrong: [...wrong, [{ url: undefined }, "/body/url"], [{ scope: "some" }, "/body/scope"]]
  },
  "GET /api/webhook-endpoints": {
    status: 200,
    signedIn: true,
    keyed: false,
    shape: { "": ["items", "nextCursor"], "items.0": shown },
    attempt: Effect.gen(function*() {
      const { client } = yield* ApiTest
      const { member } = yield* made
      yield* client.webhookEndpoints.create({ payload: { url } }).pipe(as(member))
      return { path, token: member.token }
    }),
    typed: Effect.gen(function*() {
      const { client } = yield* ApiTest
      const { endpoint, member } = yield* made
      const second = yield* client.webhookEndpoints.create({ payload: { url } }).pipe(as(member))
      const { items, nextCursor } = yield* client.webhookEndpoints.list({ query: { limit: 1 } }).pipe(as(member))
      assert.deepStrictEqual(items.map(({ id }) => id), [second.id])
      const rest = yield* client.webhookEndpoints.list({ query: { cursor: nextCursor ?? "" } }).pipe(as(member))
      assert.deepStrictEqual(rest.items.map(({ id }) => id), [endpoint.id])
    }),
    wrongQuery: wrongPage
  },
  "GET /api/webhook-endpoints/:id": {
    status: 200,
    signedIn: true,
    keyed: false,
    owned: true,
    shape: { "": shown },
    attempt: Effect.map(made, ({ endpoint: { id }, member: { token } }) => ({ path: `${path}/${id}`, token })),
    typed: Effect.gen(function*() {
      const { client } = yield* ApiTest
      const { member } = yield* made
      const params = { id: WebhookEndpointId.make(randomUUID()) }
      assert.strictEqual(
        (yield* Effect.flip(client.webhookEndpoints.find({ params }).pipe(as(member))))._tag,
        "NotFound"
      )
    })
  },
  "PATCH /api/webhook-endpoints/:id": {
    status: 200,
    signedIn: true,
    keyed: false,
    owned: true,
    shape: { "": shown },
    attempt: Effect.map(made, ({ endpoint: { id }, member: { token } }) => ({
      path: `${path}/${id}`,
      token,
      body: { events: ["reward.paid"] }
    })),
    typed: Effect.gen(function*() {
      const { client } = yield* ApiTest
      const { member, params } = yield* made
      const edited = yield* client.webhookEndpoints.edit({ params, payload: { status: "disabled" } }).pipe(as(member))
      assert.deepInclude(edited, { status: "disabled", disabledReason: "by_user" })
      const private_ = client.webhookEndpoints.edit({ params, payload: { url: "https://10.0.0.1/" } }).pipe(as(member))
      assert.strictEqual((yield* Effect.flip(private_))._tag, "WebhookUrlNotAllowed")
    }),
    wrong: [...wrong, [{ status: "gone" }, "/body/status"], [{ scope: "all" }, "/body/scope"]]
  },
  "DELETE /api/webhook-endpoints/:id": {
    status: 204,
    signedIn: true,
    keyed: false,
    owned: true,
    shape: {},
    attempt: Effect.map(made, ({ endpoint: { id }, member: { token } }) => ({ path: `${path}/${id}`, token })),
    typed: Effect.gen(function*() {
      const { client } = yield* ApiTest
      const { member, params } = yield* made
      yield* client.webhookEndpoints.remove({ params }).pipe(as(member))
      const again = client.webhookEndpoints.remove({ params }).pipe(as(member))
      assert.strictEqual((yield* Effect.flip(again))._tag, "NotFound")
    })
  },
  "POST /api/webhook-endpoints/:id/rotate-secret": {
    status: 200,
    signedIn: true,
    keyed: false,
    owned: true,
    shape: { "": [...shown, "secret"] },
    attempt: Effect.map(made, ({ endpoint: { id }, member: { token } }) => ({
      path: `${path}/${id}/rotate-secret`,
      token
    })),
    typed: Effect.gen(function*() {
      const { client } = yield* ApiTest
      const { endpoint, member, params } = yield* made
      const rotated = yield* client.webhookEndpoints.rotate({ params }).pipe(as(member))
      assert.notStrictEqual(rotated.secret, endpoint.secret)
    })
  },
  "GET /api/webhook-endpoints/:id/deliveries": {
    status: 200,
    signedIn: true,
    keyed: false,
    owned: true,
    shape: { "": ["items", "nextCursor"], "items.0": delivery },
    attempt: Effect.map(announced, ({ endpoint: { id }, member: { token } }) => ({
      path: `${path}/${id}/deliveries`,
      token
    })),
    typed: Effect.gen(function*() {
      const { client, eventId, member, params } = yield* announced
      const query = { state: "failed" as const }
      const { items } = yield* client.webhookEndpoints.deliveries({ params, query }).pipe(as(member))
      assert.strictEqual(items[0]?.id, eventId)
      assert.lengthOf(items, 2)
    }),
    wrongQuery: [...wrongPage, ["state=lost", "/query/state"]]
  },
  "POST /api/webhook-endpoints/:id/deliveries/:eventId/redeliver": {
    status: 202,
    signedIn: true,
    keyed: false,
    owned: true,
    shape: { "": delivery },
    attempt: Effect.map(announced, ({ endpoint: { id }, eventId, member: { token } }) => ({
      path: `${path}/${id}/deliveries/${eventId}/redeliver`,
      token
    })),
    typed: Effect.gen(function*() {
      const { client, eventId, member, params } = yield* announced
      yield* client.webhookEndpoints.redeliver({ params: { ...params, eventId } }).pipe(as(member))
      // The name is reserved for examples: the attempt is made, and fails.
      const seen = client.webhookEndpoints.deliveries({ params, query: {} }).pipe(as(member))
      const { items } = yield* eventually(seen, ({ items }) => (items[0]?.attempts ?? 0) > 0)
      assert.deepInclude(items[0], { id: eventId, state: "pending" })
      const other = WebhookEventId.make(`evt_payment_failed_${randomUUID()}`)
      const unknown = client.webhookEndpoints.redeliver({ params: { ...params, eventId: other } }).pipe(as(member))
      assert.strictEqual((yield* Effect.flip(unknown))._tag, "NotFound")
    })
  }
}
