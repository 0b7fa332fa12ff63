import { Effect, Fiber, Predicate, type Redacted, Schema } from "effect"
import { mkdir } from "node:fs/promises"
import { join } from "node:path"
import { Fakes } from "../../../src/layers/fakes/Fakes.ts"
import { secrets } from "../../layers/Gateways.ts"
import { type Customer, register } from "../bank/Clients.ts"
import type { CrashingPostgres } from "../bank/Postgres.ts"
import { type Random, random } from "../bank/Random.ts"
import { type CrashingServer, crashingServer } from "../bank/Server.ts"
import { type Tally, wish } from "./People.ts"
import { rowsOf, unfinished, verdict } from "./Verdict.ts"

export interface StormOptions {
  readonly seed: number
  /** Charges, payouts and refunds. */
  readonly wishes: number
  readonly people: number
  readonly kills: number
}

const LoggedIn = Schema.decodeUnknownPromise(Schema.Struct({ tokens: Schema.Struct({ accessToken: Schema.String }) }))

/** Somebody who may ask for a reconciliation. */
const administrator = Effect.fnUntraced(function*(base: string, database: Redacted.Redacted<string>, name: string) {
  const { id } = yield* register(base, name, 999)
  yield* rowsOf(database, `UPDATE identity.users SET roles = '{member,admin}' WHERE id = '${id}'`)
  return Effect.promise(() =>
    fetch(`${base}/api/auth/login`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ email: `${name}-999@example.com`, password: "a long enough passphrase" })
    }).then((answer) => answer.json()).then(LoggedIn).then(({ tokens }) => tokens.accessToken)
  )
})

const weather = (choices: Random) =>
  Effect.flatMap(Fakes, ({ paystack, stripe }) =>
    Effect.forever(Effect.andThen(
      Effect.sync(() => {
        for (const { fake } of [stripe, paystack]) {
          const upTo = (most: number) => choices.chance(0.4) ? choices.between(0, most) / 100 : 0
          fake.faults.set({
            delay: upTo(20),
            hang: upTo(2),
            resetAfterAccepting: upTo(20),
            serverError: upTo(20),
            rateLimit: upTo(10),
            webhookDelay: upTo(50),
            webhookDuplicate: upTo(60),
            webhookReorder: upTo(50),
            webhookLose: upTo(40),
            delayMillis: choices.between(10, 400)
          })
        }
      }),
      Effect.sleep("500 millis")
    )))

const calm = Effect.map(Fakes, ({ paystack, stripe }) => {
  const none = { delay: 0, hang: 0, resetAfterAccepting: 0, serverError: 0, rateLimit: 0 }
  for (const { fake } of [stripe, paystack]) {
    fake.faults.set({ ...none, webhookDelay: 0, webhookDuplicate: 0, webhookReorder: 0, webhookLose: 0 })
  }
})

const killing = Effect.fnUntraced(function*(server: CrashingServer, times: number, choices: Random) {
  for (let n = 0; n < times; n++) {
    yield* Effect.sleep(`${choices.between(300, 2_500)} millis`)
    yield* server.kill
    yield* server.start
  }
})

/**
 * Nothing is asked of the ledger but what an operator can: reconciliation by its route, until nothing is left to do. Once in
 * any case, and after the last of the payers: of some declined cards a provider sends no word.
 */
const settle = Effect.fnUntraced(function*(
  base: string,
  token: Effect.Effect<string>,
  database: Redacted.Redacted<string>
) {
  const begin = performance.now()
  while (true) {
    const bearer = yield* token
    const isOver = yield* Effect.promise(() =>
      fetch(`${base}/api/admin/reconciliation`, {
        method: "POST",
        headers: { "content-type": "application/json", authorization: `Bearer ${bearer}` },
        body: JSON.stringify({ hours: 2 })
      }).then((answer) => answer.json().then((report) => isWhole(answer.status, report)), () => false)
    )
    const left = yield* unfinished(database)
    if ((isOver && left.length === 0) || performance.now() - begin > 240_000) return left
    yield* Effect.sleep("2 seconds")
  }
})

/** A reconciliation that came to its end at every provider. */
const isWhole = (status: number, report: unknown) =>
  status === 200 && Predicate.hasProperty(report, "unavailable") && Array.isArray(report.unavailable)
  && report.unavailable.length === 0

let storms = 0

/** Charges, payouts and refunds through both fakes, all their switches turned at random, while the server is killed. */
export const storm = Effect.fnUntraced(
  function*(
    postgres: CrashingPostgres,
    folder: string,
    options: StormOptions
  ) {
    const name = `storm_${options.seed}_${++storms}`
    const place = join(folder, name)
    yield* Effect.promise(() => mkdir(place, { recursive: true }))
    const database = postgres.url(name)
    yield* postgres.create(name)
    const { paystack, stripe } = yield* Fakes
    const environment = {
      STRIPE_SECRET_KEY: secrets.stripe,
      STRIPE_WEBHOOK_SECRET: secrets.stripeWebhook,
      STRIPE_API_BASE: stripe.url,
      STRIPE_RETURN_URL: "https://app.example.com/done",
      PAYSTACK_SECRET_KEY: secrets.paystack,
      PAYSTACK_API_BASE: paystack.url,
      PAYOUT_DAILY_LIMIT: "1000000000000"
    }
    const server = yield* crashingServer({ database, folder: place, name: "api", environment })
    stripe.fake.deliveries.url = `${server.base}/api/webhooks/stripe`
    paystack.fake.deliveries.url = `${server.base}/api/webhooks/paystack`
    for (const { fake } of [stripe, paystack]) fake.faults.set({ seed: options.seed, settleAfterMillis: 300 })
    const people: ReadonlyArray<Customer> = yield* Effect.forEach(
      Array.from({ length: options.people }, (_, i) => i),
      (i) => register(server.base, name, i),
      { concurrency: 2 }
    )
    const token = yield* administrator(server.base, database, name)
    const choices = random(options.seed)
    const tally: Tally = { asked: 0, acknowledged: 0, refused: 0, givenUp: 0 }
    const begin = performance.now()
    const over = () => performance.now() - begin > 540_000
    const turning = yield* Effect.forkChild(weather(choices.fork(1)))
    const crashes = yield* Effect.forkChild(killing(server, options.kills, choices.fork(2)))
    const each = Math.ceil(options.wishes / people.length)
    yield* Effect.forEach(people, (person, i) =>
      Effect.gen(function*() {
        const own = choices.fork(i + 10)
        const paid: Array<string> = []
        for (let n = 0; n < each && !over(); n++) yield* wish(server.base, person, n, paid, own, tally, over)
      }), { concurrency: "unbounded", discard: true })
    yield* Fiber.join(crashes)
    yield* Fiber.interrupt(turning)
    yield* calm
    const seconds = Math.round((performance.now() - begin) / 1_000)
    const stuck = yield* settle(server.base, token, database)
    const judge = verdict(database, { stripe: stripe.fake.book, paystack: paystack.fake.book })
    const { counts, findings } = yield* judge
    return {
      seed: options.seed,
      seconds,
      settledAfter: Math.round((performance.now() - begin) / 1_000) - seconds,
      kills: options.kills,
      tally,
      counts,
      /** Looks again: at books that somebody changed meanwhile. */
      judge,
      findings: [...findings, ...stuck.map((what) => `stuck: ${what}`)]
    }
  },
  Effect.scoped
)
