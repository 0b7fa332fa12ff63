import { assert } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { randomUUID } from "node:crypto"
import { SubmissionId, VideoId } from "../../src/domain/Ids.ts"
import { ApiTest, as, eventually, keyed, type Member, register, send } from "../layers/ApiTest.ts"
import { active } from "./RewardsContracts.ts"
import { Cast, type Contracts } from "./RouteContract.ts"

export const submission = [
  "id",
  "campaignId",
  "videoId",
  "status",
  "checks",
  "verdict?",
  "reward?",
  "attempts",
  "createdAt",
  "updatedAt"
]
const service = ["status", "restarts", "since"]
const letter = new TextEncoder().encode("not a video, and nobody minds")

const Ticket = Schema.Struct({ videoId: VideoId, uploadUrl: Schema.String })

/** A video whose bytes have arrived, sent to the URL of the ticket as it stands. Its owner is new: uploads are limited. */
export const uploaded = Effect.fnUntraced(function*(member: Member, bytes = letter) {
  const body = { bytes: bytes.length, contentType: "video/mp4" }
  const answer = yield* send({ method: "POST", path: "/api/video/uploads", token: member.token, body })
  const { uploadUrl, videoId } = yield* Schema.decodeUnknownEffect(Ticket)(answer.json)
  const status = yield* Effect.promise(() => fetch(uploadUrl, { method: "PUT", body: bytes }).then((put) => put.status))
  assert.strictEqual(status, 200)
  return videoId
})

const submitted = Effect.gen(function*() {
  const { client } = yield* ApiTest
  const member = yield* register()
  const videoId = yield* uploaded(member)
  const { body, headers } = yield* client.video.verify({ payload: { videoId } }).pipe(keyed, as(member))
  assert.strictEqual(headers.location, `/api/video/submissions/${body.id}`)
  return { member, submission: body }
})

/** A campaign of the sponsor's, and what two members submitted to it, the newest first. */
const submittedToCampaign = Effect.gen(function*() {
  const { client } = yield* ApiTest
  const { id: campaignId } = yield* active
  const ids: Array<SubmissionId> = []
  for (const member of [yield* register(), yield* register()]) {
    const videoId = yield* uploaded(member)
    const { body } = yield* client.video.verify({ payload: { videoId, campaignId } }).pipe(keyed, as(member))
    ids.unshift(body.id)
  }
  return { campaignId, ids }
})

export const videoContracts: Contracts = {
  "GET /api/campaigns/:id/submissions": {
    status: 200,
    signedIn: true,
    keyed: false,
    shape: { "": ["items", "nextCursor"], "items.0": submission },
    owned: true,
    attempt: Effect.map(Effect.all([submittedToCampaign, Cast]), ([{ campaignId }, { sponsor }]) => ({
      path: `/api/campaigns/${campaignId}/submissions`,
      token: sponsor.token
    })),
    typed: Effect.gen(function*() {
      const { client } = yield* ApiTest
      const { sponsor } = yield* Cast
      const { campaignId, ids } = yield* submittedToCampaign
      const look = client.video.campaignSubmissions({ params: { id: campaignId }, query: { limit: 2 } })
      const { items, nextCursor } = yield* look.pipe(as(sponsor))
      assert.deepStrictEqual([items.map((one) => one.id), nextCursor], [ids, null])
    }),
    wrongQuery: [["limit=0", "/query/limit"], ["limit=101", "/query/limit"], ["cursor=!", "/query/cursor"]]
  },
  "POST /api/video/uploads": {
    status: 201,
    signedIn: true,
    keyed: false,
    shape: { "": ["videoId", "uploadUrl", "method", "headers", "expiresAt"] },
    attempt: Effect.map(register(), ({ token }) => ({
      path: "/api/video/uploads",
      token,
      body: { bytes: 1_000, contentType: "video/mp4", sha256: "0".repeat(64) }
    })),
    typed: Effect.gen(function*() {
      const { client } = yield* ApiTest
      const member = yield* register()
      const announce = client.video.createUpload({ payload: { bytes: 1, contentType: "video/webm" } }).pipe(as(member))
      assert.deepStrictEqual((yield* announce).headers, { "content-type": "video/webm" })
      yield* announce
      assert.strictEqual((yield* Effect.flip(announce))._tag, "TooManyRequests")
    }),
    wrong: [
      [{ bytes: 0 }, "/body/bytes"],
      [{ bytes: 209_715_201 }, "/body/bytes"],
      [{ contentType: "video/avi" }, "/body/contentType"],
      [{ sha256: "abc" }, "/body/sha256"],
      [{ userId: randomUUID() }, "/body/userId"]
    ]
  },
  "POST /api/video/verify": {
    status: 202,
    signedIn: true,
    keyed: true,
    shape: { "": submission },
    attempt: Effect.gen(function*() {
      const member = yield* register()
      const videoId = yield* uploaded(member)
      return { path: "/api/video/verify", token: member.token, key: randomUUID(), body: { videoId } }
    }),
    typed: Effect.gen(function*() {
      const { client } = yield* ApiTest
      const { member, submission: { id, videoId } } = yield* submitted
      const look = client.video.submission({ params: { id } }).pipe(as(member))
      const seen = yield* eventually(look, ({ status }) => status === "rejected")
      assert.deepInclude(seen.verdict, { outcome: "rejected", by: "worker" })
      const again = client.video.verify({ payload: { videoId } }).pipe(keyed, as(member))
      assert.strictEqual((yield* Effect.flip(again))._tag, "VideoAlreadySubmitted")
    }),
    wrong: [[{ videoId: "mine" }, "/body/videoId"], [{ campaignId: 5 }, "/body/campaignId"]],
    counted: "SELECT count(*) FROM video.submissions",
    other: { campaignId: randomUUID() }
  },
  "GET /api/video/submissions": {
    status: 200,
    signedIn: true,
    keyed: false,
    shape: { "": ["items", "nextCursor"], "items.0": submission },
    attempt: Effect.gen(function*() {
      const { member } = yield* submitted
      const { client } = yield* ApiTest
      const videoId = yield* uploaded(member)
      yield* client.video.verify({ payload: { videoId } }).pipe(keyed, as(member))
      return { path: "/api/video/submissions", token: member.token }
    }),
    typed: Effect.gen(function*() {
      const { client } = yield* ApiTest
      const { member, submission: { id } } = yield* submitted
      const page = yield* client.video.submissions({ query: { limit: 5 } }).pipe(as(member))
      assert.deepStrictEqual([page.items.map((one) => one.id), page.nextCursor], [[id], null])
    }),
    wrongQuery: [["limit=0", "/query/limit"], ["limit=101", "/query/limit"], ["cursor=!", "/query/cursor"]]
  },
  "GET /api/video/submissions/:id": {
    status: 200,
    signedIn: true,
    keyed: false,
    shape: { "": submission },
    owned: true,
    attempt: Effect.map(submitted, ({ member: { token }, submission: { id } }) => ({
      path: `/api/video/submissions/${id}`,
      token
    })),
    typed: Effect.gen(function*() {
      const { client } = yield* ApiTest
      const { alice } = yield* Cast
      const { member, submission: { id, videoId } } = yield* submitted
      assert.strictEqual((yield* client.video.submission({ params: { id } }).pipe(as(member))).videoId, videoId)
      const absent = client.video.submission({ params: { id: SubmissionId.make(randomUUID()) } })
      assert.strictEqual((yield* Effect.flip(absent).pipe(as(alice)))._tag, "NotFound")
    })
  }
}

const probe = (path: string, status: "alive" | "ready", typed: Contracts[string]["typed"]) => ({
  status: 200,
  signedIn: false,
  keyed: false,
  shape: { "": ["status"] },
  attempt: Effect.succeed({ path }),
  typed: Effect.map(typed, (seen) => assert.deepStrictEqual(seen, { status }))
})

export const systemContracts: Contracts = {
  "GET /health": {
    status: 200,
    signedIn: false,
    keyed: false,
    shape: {
      "": ["status", "timestamp", "version", "services"],
      services: ["identity", "wallet", "payments", "rewards", "video"],
      "services.identity": service,
      "services.wallet": service,
      "services.payments": service,
      "services.rewards": service,
      "services.video": service
    },
    attempt: Effect.succeed({ path: "/health" }),
    typed: Effect.gen(function*() {
      const { client } = yield* ApiTest
      const { status } = yield* eventually(client.system.health(), ({ status }) => status === "ok")
      assert.strictEqual(status, "ok")
    })
  },
  "GET /livez": probe("/livez", "alive", Effect.flatMap(ApiTest, ({ client }) => client.system.livez())),
  "GET /readyz": probe("/readyz", "ready", Effect.flatMap(ApiTest, ({ client }) => client.system.readyz())),
  "GET /problems/:code": {
    status: 200,
    signedIn: false,
    keyed: false,
    shape: { "": ["type", "title", "status", "code", "advice", "members", "routes"] },
    attempt: Effect.succeed({ path: "/problems/insufficient-funds" }),
    typed: Effect.gen(function*() {
      const { client } = yield* ApiTest
      const { members } = yield* client.system.problem({ params: { code: "insufficient-funds" } })
      assert.deepStrictEqual(members, ["available", "currency"])
      const unknown = client.system.problem({ params: { code: "no-such-problem" } })
      assert.strictEqual((yield* Effect.flip(unknown))._tag, "NotFound")
    })
  }
}
