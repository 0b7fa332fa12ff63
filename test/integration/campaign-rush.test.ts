import { PgConnection } from "@effect/sql-pg"
import { assert, layer } from "@effect/vitest"
import { Effect, Fiber, Layer, Ref, Schedule, Schema } from "effect"
import { randomUUID } from "node:crypto"
import { CampaignId } from "../../src/domain/Ids.ts"
import { Amount } from "../../src/domain/Money.ts"
import { MediaEngine } from "../../src/services/MediaEngine.ts"
import {
  ApiTest,
  as,
  type Call,
  countOf,
  eventually,
  give,
  keyed,
  type Member,
  owner,
  register,
  send
} from "../layers/ApiTest.ts"
import { PgTest } from "../layers/PgTest.ts"

const reward = 2_500
const currency = "NGN" as const

/** An engine that never answers: nothing is decided while the members come, so no slot is given back. */
const engine = Layer.succeed(MediaEngine, { guards: [], analyse: () => Effect.never })

const openCampaign = Effect.fnUntraced(function*(slots: number) {
  const { client } = yield* ApiTest
  const sponsor = yield* register("sponsor")
  yield* give(sponsor.id, reward * slots)
  const money = { amount: Amount.make(BigInt(reward)), currency }
  const { id } = yield* client.rewards.create({ payload: { title: "Rush", brief: "Five.", reward: money, slots } })
    .pipe(
      as(sponsor)
    )
  const payload = { amount: Amount.make(BigInt(reward * slots)), currency }
  yield* client.rewards.fund({ params: { id }, payload }).pipe(keyed, as(sponsor))
  yield* client.rewards.activate({ params: { id } }).pipe(as(sponsor))
  return { id, sponsor }
})

const Ticket = Schema.Struct({ videoId: Schema.String, uploadUrl: Schema.String })
const uploaded = Effect.fnUntraced(function*({ token }: Member) {
  const bytes = new TextEncoder().encode(`a letter of ${randomUUID()}`)
  const body = { bytes: bytes.length, contentType: "video/mp4" }
  const answer = yield* send({ method: "POST", path: "/api/video/uploads", token, body })
  const { uploadUrl, videoId } = yield* Schema.decodeUnknownEffect(Ticket)(answer.json)
  const put = yield* Effect.promise(() => fetch(uploadUrl, { method: "PUT", body: bytes }))
  assert.isBelow(put.status, 300)
  return videoId
})

const escrow = (id: CampaignId) =>
  `SELECT balance::int, held::int FROM wallet.accounts WHERE kind = 'escrow' AND owner = '${id}'`
const figures = (rows: ReadonlyArray<ReadonlyArray<unknown>>) => rows.map((row) => row.map(Number))[0] ?? []
const escrowOf = (id: CampaignId) => Effect.map(owner(escrow(id)), figures)

/** Asks as a client does: what was not decided for want of time is asked again under its key. */
const decided = (call: Call) =>
  send(call).pipe(
    Effect.repeat({
      schedule: Schedule.spaced("1 second"),
      until: ({ json, status }) => status !== 503 && json["code"] !== "IdempotencyKeyInFlight"
    }),
    Effect.timeout("60 seconds")
  )

layer(ApiTest.layer(engine), { timeout: "120 seconds", excludeTestServices: true })(
  "a campaign with five slots",
  (it) => {
    it.effect(
      "takes five of fifty members who come at the same instant, and its escrow never holds more than it has",
      () =>
        Effect.gen(function*() {
          const { id } = yield* openCampaign(5)
          const members = yield* Effect.all(Array.from({ length: 50 }, () => register()), { concurrency: 10 })
          const ready = yield* Effect.forEach(
            members,
            (member) => Effect.map(uploaded(member), (videoId) => ({ member, videoId })),
            { concurrency: 10 }
          )
          const standings = yield* Ref.make<ReadonlyArray<ReadonlyArray<number>>>([])
          const watcher = yield* PgConnection.make({ url: (yield* PgTest).ownerUrl })
          const look = Effect.map(watcher.queryValues(escrow(id), []), figures)
          const looking = yield* Effect.forkChild(
            Effect.forever(Effect.flatMap(look, (now) => Ref.update(standings, (all) => [...all, now])))
          )
          yield* eventually(Ref.get(standings), ({ length }) => length > 0)
          const answers = yield* Effect.forEach(ready, ({ member: { token }, videoId }) =>
            decided({
              method: "POST",
              path: "/api/video/verify",
              token,
              key: randomUUID(),
              body: { videoId, campaignId: id }
            }), { concurrency: "unbounded" })
          yield* Fiber.interrupt(looking)
          const accepted = answers.filter(({ status }) => status === 202)
          const refused = answers.filter(({ json, status }) => status === 409 && json["code"] === "CampaignFull")
          const others = answers.filter((answer) => !accepted.includes(answer) && !refused.includes(answer))
          assert.deepStrictEqual(others.map(({ text }) => text), [])
          assert.deepStrictEqual([accepted.length, refused.length], [5, 45])
          assert.deepStrictEqual(yield* escrowOf(id), [5 * reward, 5 * reward])
          const seen = yield* Ref.get(standings)
          assert.deepStrictEqual(seen.filter(([balance = 0, held = 0]) => balance < 0 || held > balance), [])
          assert.strictEqual(yield* countOf(`SELECT count(*) FROM video.submissions WHERE campaign_id = '${id}'`), 5)
          assert.strictEqual(yield* countOf("SELECT count(*) FROM wallet.holds WHERE status = 'open'"), 5)
        }),
      120_000
    )
  }
)
