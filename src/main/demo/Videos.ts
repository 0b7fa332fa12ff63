import { Effect, Schema } from "effect"
import { createHash } from "node:crypto"
import { readFile } from "node:fs/promises"
import { call, expect, newKey, Unexpected } from "./Client.ts"
import type { Member } from "./Members.ts"

const Upload = Schema.Struct({
  videoId: Schema.String,
  uploadUrl: Schema.String,
  method: Schema.Literal("PUT"),
  headers: Schema.Record(Schema.String, Schema.String)
})

/** Announces an upload to the API and sends the bytes where it says: to the video process. */
export const upload = Effect.fnUntraced(function*(api: string, member: Member, path: string) {
  const bytes = new Uint8Array(yield* Effect.promise(() => readFile(path)))
  const { body } = yield* expect(`${api}/api/video/uploads`, 201, Upload, {
    token: member.token,
    json: {
      bytes: bytes.length,
      contentType: "video/mp4",
      sha256: createHash("sha256").update(bytes).digest("hex")
    }
  })
  const sent = yield* call(body.uploadUrl, { method: "PUT", bytes, headers: body.headers })
  if (sent.status >= 300) {
    return yield* new Unexpected({ message: `The upload answered ${sent.status}: ${JSON.stringify(sent.body)}` })
  }
  return body.videoId
})

const Submission = Schema.Struct({
  id: Schema.String,
  status: Schema.String,
  attempts: Schema.Int,
  createdAt: Schema.String,
  checks: Schema.Array(
    Schema.Struct({ name: Schema.String, outcome: Schema.String, measured: Schema.String, limit: Schema.String })
  ),
  verdict: Schema.optionalKey(
    Schema.Struct({ outcome: Schema.String, reasons: Schema.Array(Schema.String), by: Schema.String })
  )
})
export type Submission = typeof Submission.Type

export const verify = Effect.fnUntraced(function*(api: string, member: Member, videoId: string, campaignId: string) {
  const { answer, body } = yield* expect(`${api}/api/video/verify`, 202, Schema.Struct({ id: Schema.String }), {
    token: member.token,
    key: newKey(),
    json: { videoId, campaignId }
  })
  return { id: body.id, requestId: answer.requestId }
})

export const submission = (api: string, member: Member, id: string) =>
  Effect.map(
    expect(`${api}/api/video/submissions/${id}`, 200, Submission, { token: member.token }),
    ({ body }) => body
  )

const HealthAnswer = Schema.Struct({ services: Schema.Struct({ video: Schema.Struct({ status: Schema.String }) }) })

export const videoHealth = (api: string) =>
  Effect.map(expect(`${api}/health`, 200, HealthAnswer), ({ body }) => body.services.video.status)

const Entries = Schema.Struct({ items: Schema.Array(Schema.Struct({ amount: Schema.Int, createdAt: Schema.String })) })

/** The rewards that a member was paid since an instant. */
export const rewardsOf = (api: string, member: Member, since: string) =>
  Effect.map(
    expect(`${api}/api/wallet/transactions?kind=reward&from=${encodeURIComponent(since)}`, 200, Entries, {
      token: member.token
    }),
    ({ body }) => body.items
  )
