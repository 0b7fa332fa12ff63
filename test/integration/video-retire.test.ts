import { assert, layer } from "@effect/vitest"
import { Duration, Effect } from "effect"
import { randomUUID } from "node:crypto"
import { type UserId, VideoId } from "../../src/domain/Ids.ts"
import { UploadStore } from "../../src/services/UploadStore.ts"
import { asRole, member, verifying, VideoBench } from "../layers/VideoBench.ts"

const rounds = 40
const videosOfRound = 12

const owner = (statement: string) => asRole("owner", statement)

/** Videos that were finished long ago and that nobody has submitted; their bytes do not matter here. */
const forgotten = Effect.fnUntraced(function*(user: UserId, count: number) {
  const ids = Array.from({ length: count }, () => VideoId.make(randomUUID()))
  yield* owner(
    `INSERT INTO video.uploads (id, user_id, bytes, content_type, sha256, status, expires_at, completed_at)
     SELECT id, '${user}', 4, 'video/mp4', repeat('0', 64), 'complete', now(), now() - interval '40 days'
     FROM unnest('{${ids.join()}}'::uuid[]) AS id`
  )
  return ids
})

const retire = Effect.flatMap(UploadStore, (store) => store.retire(Duration.days(30)))

layer(VideoBench, { timeout: "120 seconds", excludeTestServices: true })("a video that nobody needed", (it) => {
  it.effect(
    `is given up or submitted, never both, when it is both at the same instant, ${rounds} times`,
    () =>
      Effect.gen(function*() {
        const user = yield* member
        for (let round = 0; round < rounds; round++) {
          const videos = yield* forgotten(user, videosOfRound)
          const submit = Effect.forEach(
            videos,
            (videoId) =>
              Effect.match(verifying(user, videoId), { onFailure: ({ _tag }) => _tag, onSuccess: () => "taken" }),
            { concurrency: "unbounded" }
          )
          const [answers] = yield* Effect.all([submit, Effect.all([retire, retire, retire])], {
            concurrency: "unbounded"
          })
          const rows = yield* owner(
            `SELECT u.id::text, CASE WHEN u.removed_at IS NULL THEN 'kept' ELSE 'removed' END,
                    CASE WHEN EXISTS (SELECT FROM video.submissions s WHERE s.video_id = u.id) THEN 'taken' ELSE 'free' END
             FROM video.uploads u WHERE u.id = ANY('{${videos.join()}}'::uuid[])`
          )
          const ends = new Map(rows.map(([id, bytes, use]) => [String(id), `${bytes} ${use}`]))
          for (const [at, videoId] of videos.entries()) {
            // Who is told to come again may find anything done but this: a submission of bytes that are gone.
            const expected = {
              taken: ["kept taken"],
              NotFound: ["removed free"],
              Unavailable: ["kept free", "removed free", "kept taken"]
            }[String(answers[at])]
            assert.include(expected ?? [], ends.get(videoId), `round ${round}: ${answers[at]}`)
          }
        }
      }),
    120_000
  )

  it.effect("is given up once nobody holds it, and can then not be submitted any more", () =>
    Effect.gen(function*() {
      const user = yield* member
      const [videoId] = yield* forgotten(user, 1)
      assert.isAbove(yield* retire, 0)
      assert.strictEqual(yield* retire, 0)
      if (videoId !== undefined) assert.strictEqual((yield* Effect.flip(verifying(user, videoId)))._tag, "NotFound")
    }))

  it.effect("is not given up by the database, whoever asks, while a submission of it has no verdict", () =>
    Effect.gen(function*() {
      const user = yield* member
      for (const videoId of yield* forgotten(user, 1)) {
        yield* verifying(user, videoId)
        const remove = `UPDATE video.uploads SET removed_at = now() WHERE id = '${videoId}'`
        for (const role of ["video_worker", "owner"]) {
          const refused = yield* Effect.flip(asRole(role, remove))
          assert.include(String(refused.reason.cause), "kept until its submissions are decided", role)
        }
        yield* owner(`UPDATE video.submissions SET status = 'approved', verdict = 'approved', decided_by = 'worker',
          decided_at = now() WHERE video_id = '${videoId}'`)
        yield* asRole("video_worker", remove)
      }
    }))
})
