import { PgConnection } from "@effect/sql-pg"
import { Clock, Context, DateTime, Effect, Layer, Logger, Option } from "effect"
import { TestClock } from "effect/testing"
import { randomUUID } from "node:crypto"
import { SessionId, UserId, type WebhookEndpointId } from "../../src/domain/Ids.ts"
import { CurrentUser, type Role } from "../../src/domain/Principal.ts"
import { type DeliveryOutcome, type DeliveryState, WebhookEventId } from "../../src/domain/WebhookDeliveries.ts"
import type { WebhookEndpointRequest } from "../../src/domain/WebhookEndpoints.ts"
import { WebhooksOutServices } from "../../src/layers/webhooks/WebhooksOutLive.ts"
import { Users } from "../../src/services/Users.ts"
import { WebhookCourier, WebhookSettings } from "../../src/services/WebhookCourier.ts"
import { WebhookDeliveries } from "../../src/services/WebhookDeliveries.ts"
import { WebhookEndpoints } from "../../src/services/WebhookEndpoints.ts"
import { PgTest } from "./PgTest.ts"
import { testConfig } from "./TestConfig.ts"

export interface Letter {
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}
type Answering = (letter: Letter) => Effect.Effect<DeliveryOutcome>

export const answers = (status: number): Answering => () => Effect.succeed({ status, failure: null })

/** The world outside: what each URL answers, and what came there. */
export class Outside extends Context.Service<Outside, {
  readonly letters: Array<Letter>
  readonly at: Map<string, Answering>
  /** Accounts that are not what they were. */
  readonly roles: Map<string, Option.Option<ReadonlyArray<Role>>>
}>()("midnight/test/Outside") {
  static readonly layer = Layer.sync(Outside, () => ({ letters: [], at: new Map(), roles: new Map() }))
}

const courier = Layer.effect(
  WebhookCourier,
  Effect.map(Outside, ({ at, letters }) => ({
    send: (letter: Letter) =>
      Effect.suspend(() => {
        letters.push(letter)
        return (at.get(letter.url) ?? answers(204))(letter)
      })
  }))
)
const users = Layer.unwrap(Effect.map(Outside, ({ roles }) =>
  Layer.mock(Users, {
    rolesOf: (id) => Effect.succeed(roles.get(id) ?? Option.some<ReadonlyArray<Role>>(["member"]))
  })))

/** Webhooks out on a database of their own, with a world outside that does what a test says. Nothing runs by itself. */
export const WebhooksBench = WebhooksOutServices.pipe(
  Layer.provide([courier, users, Layer.succeed(WebhookSettings, { allowPrivate: false })]),
  Layer.provide(testConfig()),
  Layer.provideMerge(Outside.layer),
  Layer.provideMerge(PgTest.layer),
  Layer.provideMerge(Logger.layer([]))
)

/** A clock of the test's own, that begins now: PostgreSQL's own stands still beside it. */
export const clocked = <A, E, R>(work: Effect.Effect<A, E, R>) =>
  Effect.flatMap(
    Clock.currentTimeMillis,
    (now) => Effect.andThen(TestClock.setTime(now + 1_000), work).pipe(Effect.provide(TestClock.layer()))
  )

export const anybody = Effect.sync(() => UserId.make(randomUUID()))
export const as = (userId: UserId, roles: ReadonlyArray<Role> = ["member"]) =>
  Effect.provideService(CurrentUser, {
    userId,
    sessionId: SessionId.make("0198c0de-0000-7000-8000-000000000001"),
    roles
  })

/** An endpoint of its owner's, at an address that nobody else has. */
export const endpoint = Effect.fnUntraced(function*(
  userId: UserId,
  answering: Answering = answers(204),
  more: Partial<WebhookEndpointRequest> = {},
  roles?: ReadonlyArray<Role>
) {
  const url = `https://receiver.example.com/${randomUUID()}`
  const { at } = yield* Outside
  at.set(url, answering)
  const endpoints = yield* WebhookEndpoints
  return yield* endpoints.create({ url, ...more }).pipe(as(userId, roles))
})

/** One statement as a login role, as a process that was taken over could send it. */
export const asRole = Effect.fnUntraced(
  function*(role: string, statement: string, values: ReadonlyArray<unknown> = []) {
    const pg = yield* PgTest
    const connection = yield* PgConnection.make({ url: role === "owner" ? pg.ownerUrl : pg.urlFor(role) })
    return yield* connection.queryValues(statement, values)
  },
  Effect.scoped
)

/** A payment that ends so, written as the payments' own role writes it. */
export const payment = Effect.fnUntraced(function*(userId: UserId, status = "succeeded") {
  const id = randomUUID()
  yield* asRole(
    "payments",
    `INSERT INTO payments.payments (id, user_id, provider, amount, currency, livemode, status)
     VALUES ($1, $2, 'sandbox', 2500, 'NGN', false, 'processing')`,
    [id, userId]
  )
  yield* asRole(
    "payments",
    `UPDATE payments.payments SET status = $2, transfer_id = CASE WHEN $2 = 'succeeded' THEN gen_random_uuid() END
      WHERE id = $1`,
    [id, status]
  )
  return { id, eventId: WebhookEventId.make(`evt_payment_${status}_${id}`) }
})

/** One round, and all of its turns to their end. */
export const round = Effect.gen(function*() {
  const { round } = yield* WebhookDeliveries
  yield* Effect.all(yield* round, { concurrency: "unbounded" })
})

/** Lets time pass, with a round in each such step of it. */
export const passes = Effect.fnUntraced(function*(steps: number, step: number) {
  for (let n = 0; n < steps; n++) {
    yield* TestClock.adjust(step)
    yield* round
  }
})

export const sentTo = (url: string) =>
  Effect.map(Outside, ({ letters }) => letters.filter((letter) => letter.url === url))

export const logOf = Effect.fnUntraced(function*(userId: UserId, id: WebhookEndpointId, state?: DeliveryState) {
  const endpoints = yield* WebhookEndpoints
  return (yield* endpoints.deliveries(id, { cursor: undefined, limit: 100, state }).pipe(as(userId))).items
})
export const endpointOf = (userId: UserId, id: WebhookEndpointId) =>
  Effect.flatMap(WebhookEndpoints, (endpoints) => endpoints.find(id)).pipe(as(userId))

export const nowMillis = Effect.map(DateTime.now, DateTime.toEpochMillis)
