import { Context, Duration, Effect, Layer, type Option, Schema } from "effect"
import { SqlClient, SqlSchema } from "effect/sql"
import type { SqlError } from "effect/sql/SqlError"
import { UserId, VideoId } from "../domain/Ids.ts"
import { resumableHours } from "../domain/Uploads.ts"
import { Sha256 } from "../domain/Video.ts"
import { decoded } from "./Database.ts"

const UploadRow = Schema.Struct({
  id: VideoId,
  userId: UserId,
  bytes: Schema.Int,
  expectedSha256: Schema.OptionFromNullOr(Sha256),
  /** Of what was kept; none while the upload is unfinished. */
  sha256: Schema.OptionFromNullOr(Sha256),
  removed: Schema.Boolean
})
export type UploadRow = typeof UploadRow.Type

const columns =
  `id, user_id AS "userId", bytes, expected_sha256 AS "expectedSha256", sha256, removed_at IS NOT NULL AS removed`

/** Uploads in the database, as the process knows them that takes the bytes. */
export class UploadStore extends Context.Service<UploadStore, {
  find(id: VideoId): Effect.Effect<Option.Option<UploadRow>, SqlError>
  /** Those among the ids that there are; at most a few hundred at a time. */
  among(ids: ReadonlyArray<VideoId>): Effect.Effect<ReadonlyArray<UploadRow>, SqlError>
  /** Bytes of an unfinished upload are kept, so that it can be resumed for a while after its URL's end. */
  begin(id: VideoId): Effect.Effect<void, SqlError>
  /** The first to finish an upload decides its bytes; answers the row that holds, whoever wrote it. */
  complete(id: VideoId, sha256: string): Effect.Effect<Option.Option<UploadRow>, SqlError>
  /** Takes back an upload that is not finished; answers whether it is, and so was not taken back. */
  cancel(id: VideoId): Effect.Effect<boolean, SqlError>
  /** Removes uploads that nobody finished while they could be resumed. */
  readonly forget: Effect.Effect<void, SqlError>
  /**
   * Gives up the bytes of videos that were finished and finally decided so long ago; answers how many. A submission that may
   * yet be decided, a dead letter too, keeps its video.
   */
  retire(after: Duration.Duration): Effect.Effect<number, SqlError>
}>()("midnight/services/video/UploadStore") {
  static readonly layer = Layer.effect(
    UploadStore,
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const all = sql.literal(columns)

      const find = SqlSchema.findOneOption({
        Request: VideoId,
        Result: UploadRow,
        execute: (id) => sql`SELECT ${all} FROM video.uploads WHERE id = ${id}`
      })
      const among = SqlSchema.findAll({
        Request: Schema.Array(VideoId),
        Result: UploadRow,
        execute: (ids) => sql`SELECT ${all} FROM video.uploads WHERE id = ANY(${ids}::uuid[])`
      })
      const complete = Effect.fn("UploadStore.complete")(function*(id: VideoId, sha256: string) {
        yield* sql`UPDATE video.uploads SET status = 'complete', sha256 = ${sha256}, completed_at = now()
                   WHERE id = ${id} AND status = 'pending'`
        return yield* decoded(find(id))
      }, sql.withTransaction)

      const cancel = Effect.fn("UploadStore.cancel")(function*(id: VideoId) {
        yield* sql`DELETE FROM video.uploads WHERE id = ${id} AND status = 'pending'`
        // Whoever completed it first held the row meanwhile, so a second look tells.
        const completed = yield* sql`SELECT 1 FROM video.uploads WHERE id = ${id} AND status = 'complete'`
        return completed.length > 0
      }, sql.withTransaction)

      // While these rows are held nobody submits their videos, and whoever was about to has held his row before: so the second
      // look, which sees what was committed until now, decides.
      const retire = Effect.fn("UploadStore.retire")(function*(after: Duration.Duration) {
        const seconds = Duration.toSeconds(after)
        const needed = sql`SELECT 1 FROM video.submissions s WHERE s.video_id = u.id
          AND (s.verdict IS NULL OR s.decided_at >= now() - make_interval(secs => ${seconds}::double precision))`
        const held = yield* sql<{ readonly id: string }>`
          SELECT u.id FROM video.uploads u
          WHERE u.status = 'complete' AND u.removed_at IS NULL
            AND u.completed_at < now() - make_interval(secs => ${seconds}::double precision)
            AND NOT EXISTS (${needed}) LIMIT 500 FOR UPDATE SKIP LOCKED`
        const given = yield* sql`
          UPDATE video.uploads u SET removed_at = now() FROM unnest(${held.map(({ id }) => id)}::uuid[]) AS held (id)
          WHERE u.id = held.id AND NOT EXISTS (${needed}) RETURNING u.id`
        return given.length
      }, sql.withTransaction)

      return UploadStore.of({
        find: (id) => decoded(find(id)),
        among: (ids) => decoded(among(ids)),
        begin: (id) =>
          Effect.asVoid(sql`
          UPDATE video.uploads SET resumable_until = expires_at + make_interval(hours => ${resumableHours}::int)
          WHERE id = ${id} AND status = 'pending' AND resumable_until IS NULL`),
        complete,
        cancel,
        forget: Effect.asVoid(sql`
          DELETE FROM video.uploads WHERE id IN (
            SELECT id FROM video.uploads
            WHERE status = 'pending' AND expires_at < now() - make_interval(hours => ${resumableHours}::int)
            LIMIT 1000)`),
        retire
      })
    })
  )
}
