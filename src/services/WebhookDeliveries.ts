import { Clock, Context, DateTime, Effect, Layer, Option, Random, Semaphore } from "effect"
import type { Unavailable } from "../domain/Problem.ts"
import {
  abandonedAfter,
  decideDelivery,
  type DeliveryOutcome,
  failureOf,
  isAcknowledged,
  isGone,
  pauseAfter
} from "../domain/WebhookDeliveries.ts"
import type { DisabledReason } from "../domain/WebhookEndpoints.ts"
import { withDatabase } from "./Database.ts"
import { Sealed } from "./Sealed.ts"
import { Users } from "./Users.ts"
import { WebhookCourier } from "./WebhookCourier.ts"
import { type Due, type Leased, leaseSeconds, WebhookDeliveryStore } from "./WebhookDeliveryStore.ts"
import { secretPlace } from "./WebhookEndpoints.ts"
import { signedHeaders } from "./WebhookSignature.ts"

/**
 * 64 requests at once. Endpoints that fail have sixteen of them to themselves and no more, so that those which answer are
 * never held up by those which do not.
 */
const places = { healthy: 48, failing: 16 } as const
/** Requests to one endpoint at once, and how many it is sent before others have their turn. */
const atOnce = 8
const perTurn = 64
/** What is left of the lease then is more than an attempt takes: nobody else sends the same meanwhile. */
const turnMillis = (leaseSeconds - 30) * 1_000
const eventsPerRound = 200
const transfersPerRound = 5_000

/** Turns events into deliveries and delivers them, at least once each, until they are acknowledged or given up. */
export class WebhookDeliveries extends Context.Service<WebhookDeliveries, {
  /**
   * Routes what is new, leases what is due, and gives back a turn for each endpoint, to be run side by side. Should a turn
   * end early, its deliveries are due again when its lease is over.
   */
  readonly round: Effect.Effect<ReadonlyArray<Effect.Effect<void>>, Unavailable>
  readonly purge: Effect.Effect<void, Unavailable>
}>()("midnight/services/webhooks/WebhookDeliveries") {
  static readonly layer = Layer.effect(WebhookDeliveries, Effect.suspend(() => make))
}

interface Lane {
  readonly failing: boolean
  readonly most: number
  readonly requests: Semaphore.Semaphore
  turns: number
}

const make = Effect.gen(function*() {
  const store = yield* WebhookDeliveryStore
  const courier = yield* WebhookCourier
  const sealed = yield* Sealed
  const users = yield* Users
  const lanes: ReadonlyArray<Lane> = [
    { failing: false, most: places.healthy, requests: yield* Semaphore.make(places.healthy), turns: 0 },
    { failing: true, most: places.failing, requests: yield* Semaphore.make(places.failing), turns: 0 }
  ]

  const secretsOf = (endpoint: Leased, now: DateTime.Utc) => {
    const isKept = Option.exists(endpoint.previousUntil, (until) => DateTime.isGreaterThan(until, now))
    const secrets = [endpoint.secret, ...(isKept ? Option.toArray(endpoint.previousSecret) : [])]
    return Effect.forEach(secrets, (secret) => sealed.open(secret, secretPlace(endpoint.id)))
  }

  const attempt = Effect.fn("WebhookDeliveries.attempt")(function*(endpoint: Leased, delivery: Due) {
    yield* Effect.annotateCurrentSpan({
      "midnight.webhook.endpoint.id": endpoint.id,
      "midnight.webhook.event.id": delivery.eventId,
      "midnight.webhook.attempt": delivery.attempts + 1
    })
    const began = yield* Clock.currentTimeMillis
    const { body, eventId } = delivery
    const secrets = yield* secretsOf(endpoint, DateTime.makeUnsafe(began))
    const headers = signedHeaders(secrets, { id: eventId, seconds: Math.floor(began / 1_000), body })
    const outcome = yield* courier.send({ url: endpoint.url, headers, body })
    const ended = yield* Clock.currentTimeMillis
    const now = DateTime.makeUnsafe(ended)
    const number = delivery.attempts + 1
    const decision = decideDelivery(outcome, number, now, delivery.giveUpAt, yield* Random.next)
    const state = { Delivered: "delivered", Retry: "pending", GiveUp: "failed" } as const
    const failure = decision._tag === "Delivered" ? null : failureOf(outcome)
    const entry = {
      at: DateTime.formatIso(DateTime.makeUnsafe(began)),
      status: outcome.status,
      failure,
      milliseconds: ended - began
    }
    const next = decision._tag === "Retry" ? decision.at : null
    const named = { endpointId: endpoint.id, seq: delivery.seq }
    yield* withDatabase(store.record(named, entry, state[decision._tag], next, failure))
    return outcome
  })

  /**
   * Sends what is due, until one fails: then the rest waits, and keeps its attempts for when somebody answers again. Until the
   * turn's time is over, too: what is left then is due in the next turn, for whoever gets it.
   */
  const sendAll = Effect.fnUntraced(function*(endpoint: Leased, lane: Lane, leasedAt: DateTime.Utc) {
    const now = yield* DateTime.now
    const until = DateTime.toEpochMillis(leasedAt) + turnMillis
    const due = yield* withDatabase(store.due(endpoint.id, now, lane.failing ? 1 : perTurn))
    let bad: DeliveryOutcome | undefined
    let acknowledged = 0
    yield* Effect.forEach(
      due,
      (delivery) =>
        lane.requests.withPermit(
          Effect.flatMap(Clock.currentTimeMillis, (time) =>
            bad !== undefined || time >= until ? Effect.void : Effect.map(attempt(endpoint, delivery), (outcome) => {
              if (isAcknowledged(outcome)) {
                acknowledged++
              } else bad = outcome
            }))
        ),
      { concurrency: atOnce, discard: true }
    )
    return { bad, acknowledged }
  })

  const stands = Effect.fnUntraced(function*({ scope, userId }: Leased) {
    const roles = yield* users.rolesOf(userId)
    return Option.exists(roles, (held) => scope === "own" || held.includes("admin"))
  })

  const isAbandoned = (endpoint: Leased, now: number) =>
    Option.exists(endpoint.failingSince, (since) => now - DateTime.toEpochMillis(since) > abandonedAfter)

  const turn = Effect.fn("WebhookDeliveries.turn")(function*(endpoint: Leased, lane: Lane, leasedAt: DateTime.Utc) {
    const { id } = endpoint
    const ownerStands = yield* stands(endpoint)
    const { acknowledged, bad } = ownerStands
      ? yield* sendAll(endpoint, lane, leasedAt)
      : { acknowledged: 0, bad: undefined }
    const now = yield* DateTime.now
    const failures = bad === undefined
      ? (acknowledged > 0 ? 0 : endpoint.failures)
      : (acknowledged > 0 ? 0 : endpoint.failures) + 1
    const disable: DisabledReason | undefined = !ownerStands
      ? "owner_gone"
      : bad === undefined
      ? undefined
      : isGone(bad)
      ? "gone"
      : acknowledged === 0 && isAbandoned(endpoint, DateTime.toEpochMillis(now))
      ? "failing"
      : undefined
    if (disable !== undefined) yield* Effect.logWarning("A webhook endpoint was disabled", { endpoint_id: id, disable })
    const retryIn = bad === undefined ? 0 : pauseAfter(failures)
    yield* withDatabase(store.release({ id, failures, retryIn, disable }, now))
  })

  const round = Effect.gen(function*() {
    yield* repeatedWhileFull(store.follow(transfersPerRound), transfersPerRound)
    const now = yield* DateTime.now
    yield* repeatedWhileFull(store.route(now, eventsPerRound), eventsPerRound)
    const turns: Array<Effect.Effect<void>> = []
    for (const lane of lanes) {
      const free = lane.most - lane.turns
      if (free === 0) continue
      const leased = yield* withDatabase(store.lease(now, lane.failing, free))
      lane.turns += leased.length
      turns.push(...leased.map((endpoint) =>
        turn(endpoint, lane, now).pipe(
          Effect.catchTag("Unavailable", (error) => Effect.logWarning("A turn of a webhook endpoint broke off", error)),
          Effect.ensuring(Effect.sync(() => {
            lane.turns--
          }))
        )
      ))
    }
    return turns
  })

  return WebhookDeliveries.of({
    round,
    purge: repeatedWhileFull(Effect.flatMap(DateTime.now, store.purge), 1_000)
  })
})

/** What is done by the batch is done again while batches are full; a hundred of them at most. */
const repeatedWhileFull = <E>(batch: Effect.Effect<number, E>, full: number) =>
  Effect.gen(function*() {
    for (let n = 0; n < 100; n++) if ((yield* withDatabase(batch)) < full) return
  })
