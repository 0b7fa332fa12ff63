import { PgClient } from "@effect/sql-pg"
import { Effect, Layer } from "effect"
import { createHash } from "node:crypto"
import { open } from "node:fs/promises"
import { SubmissionId } from "../../src/domain/Ids.ts"
import { measure } from "../../src/layers/media/Measure.ts"
import { ownerPool, pool } from "../../src/layers/Pools.ts"
import { FingerprintStore } from "../../src/services/FingerprintStore.ts"
import { newId } from "../../src/services/NewId.ts"
import { SeenBefore } from "../../src/services/SeenBefore.ts"

/** The look-up as the video process has it, under its role, and the owner's access to put submissions there. */
export const Library = SeenBefore.layer.pipe(
  Layer.provideMerge(FingerprintStore.layer),
  Layer.provide(pool("videoWorker")),
  Layer.merge(ownerPool("midnight-library"))
)

export interface Submitted {
  readonly userId: string
  readonly campaignId?: string
  /** What the file holds, in place of the file. */
  readonly file: string
  readonly status?: "verifying" | "rejected" | "approved" | "failed"
}

/** A submission of a complete upload, as the API leaves it for the worker, or as the worker left it. */
export const submitted = Effect.fnUntraced(
  function*({ campaignId, file, status = "verifying", userId }: Submitted) {
    const sql = yield* PgClient.PgClient
    const id = yield* newId(SubmissionId)
    const digest = createHash("sha256").update(file).digest("hex")
    const [verdict, decidedBy] = status === "rejected" || status === "approved" ? [status, "worker"] : [null, null]
    yield* sql`INSERT INTO video.uploads (id, user_id, bytes, content_type, sha256, status, expires_at, completed_at)
               VALUES (${id}, ${userId}, 1, 'video/mp4', ${digest}, 'complete', now(), now())`
    yield* sql`INSERT INTO video.submissions (id, user_id, video_id, campaign_id, status, rules, request_id, verdict,
                                              decided_by, decided_at, reward_amount, reward_currency)
               VALUES (${id}, ${userId}, ${id}, ${campaignId ?? null}, ${status}, '{}', 'test', ${verdict},
                       ${decidedBy}, CASE WHEN ${decidedBy}::text IS NULL THEN NULL ELSE now() END,
                       ${campaignId === undefined ? null : 1}::int, ${campaignId === undefined ? null : "NGN"})`
    return id
  }
)

/** What the child measures of a file, in this process: the same decoder, sampler and fingerprint, without the walls. */
export const fingerprintOfFile = async (path: string): Promise<Uint8Array> => {
  await using file = await open(path)
  const job = { maxSeconds: 600, maxPixels: 8_912_896, cpuSeconds: Infinity }
  const found = await measure(file.fd, job, (_name, work) => work())
  if (found._tag !== "MediaFacts") throw new Error(`${path}: ${found._tag}`)
  return Buffer.from(found.fingerprint, "base64")
}
