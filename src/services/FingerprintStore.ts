import { Context, Effect, Layer, Option, Schema } from "effect"
import { SqlClient, SqlSchema } from "effect/sql"
import type { SqlError } from "effect/sql/SqlError"
import { SubmissionId } from "../domain/Ids.ts"
import type { Match } from "../domain/SeenBefore.ts"
import { decoded } from "./Database.ts"

const Position = Schema.Struct({ position: Schema.String })
const Candidate = Schema.Struct({ position: Schema.String, frames: Schema.Uint8Array })

export interface NewFingerprint {
  readonly submissionId: SubmissionId
  readonly frames: Uint8Array
  readonly keys: ReadonlyArray<number>
}

/** What every submission showed, in the database. A position is a place in the order in which they came. */
export class FingerprintStore extends Context.Service<FingerprintStore, {
  /** Puts a fingerprint last in the order, once: repeated, it keeps its place. Answers the place. */
  remember(fingerprint: NewFingerprint): Effect.Effect<string, SqlError>
  /** The first earlier submission of the same file that counts. */
  sameFile(position: string): Effect.Effect<Option.Option<string>, SqlError>
  /** Earlier submissions that count and share at least two of these keys, those that share most first, at most twenty. */
  candidates(
    position: string,
    keys: ReadonlyArray<number>
  ): Effect.Effect<ReadonlyArray<typeof Candidate.Type>, SqlError>
  /** Keeps what a submission was found to repeat, for the reviewer; the first finding stays. */
  keep(position: string, earlier: string, found: { readonly sure: boolean; readonly match: Option.Option<Match> }): //
  Effect.Effect<void, SqlError>
}>()("midnight/services/video/FingerprintStore") {
  static readonly layer = Layer.effect(
    FingerprintStore,
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient

      const insert = SqlSchema.findOneOption({
        Request: Schema.Struct({ submissionId: SubmissionId, frames: Schema.Uint8Array }),
        Result: Position,
        execute: ({ frames, submissionId }) =>
          sql`
          INSERT INTO video.fingerprints (submission_id, frames) VALUES (${submissionId}, ${frames})
          ON CONFLICT DO NOTHING RETURNING position::text`
      })
      const placeOf = SqlSchema.findOne({
        Request: SubmissionId,
        Result: Position,
        execute: (id) => sql`SELECT position::text FROM video.fingerprints WHERE submission_id = ${id}`
      })
      const remember = Effect.fn("FingerprintStore.remember")(
        function*({ frames, keys, submissionId }: NewFingerprint) {
          const inserted = yield* decoded(insert({ submissionId, frames }))
          if (Option.isNone(inserted)) {
            const { position } = yield* decoded(
              Effect.catchTag(placeOf(submissionId), "NoSuchElementError", Effect.die)
            )
            return position
          }
          const { position } = inserted.value
          yield* sql`INSERT INTO video.fingerprint_keys (key, position)
                     SELECT key, ${position}::bigint FROM unnest(${keys}::int[]) AS new(key)`
          return position
        },
        sql.withTransaction
      )

      // A member's own earlier submission counts when it was paid for or may be: not without a campaign, and not once it is
      // rejected, so that a better take of the same video has its chance. Anybody else's always counts.
      const counts = sql.literal(`NOT (theirs.user_id = mine.user_id
        AND (theirs.campaign_id IS NULL OR theirs.status = 'rejected'))`)

      const sameFile = SqlSchema.findOneOption({
        Request: Schema.String,
        Result: Position,
        execute: (position) =>
          sql`
          SELECT e.position::text FROM video.fingerprints m
          JOIN video.submissions mine ON mine.id = m.submission_id
          JOIN video.fingerprints e ON e.sha256 = m.sha256 AND e.position < m.position
          JOIN video.submissions theirs ON theirs.id = e.submission_id
          WHERE m.position = ${position}::bigint AND ${counts} ORDER BY e.position LIMIT 1`
      })

      // A key that many clips share, as of a common test card, is read no further than its first fifty: what a look-up
      // costs then depends on its own length, hardly on the library.
      const candidates = SqlSchema.findAll({
        Request: Schema.Struct({ position: Schema.String, keys: Schema.Array(Schema.Int) }),
        Result: Candidate,
        execute: ({ keys, position }) =>
          sql`
          WITH found AS MATERIALIZED (
            SELECT k.position, count(*) AS shared
            FROM unnest(${keys}::int[]) AS asked(key)
            CROSS JOIN LATERAL (
              SELECT position FROM video.fingerprint_keys
              WHERE key = asked.key AND position < ${position}::bigint ORDER BY position LIMIT 50) k
            GROUP BY k.position HAVING count(*) >= 2)
          SELECT e.position::text, e.frames FROM (
            SELECT found.position, found.shared FROM found
            JOIN video.fingerprints e ON e.position = found.position
            JOIN video.submissions theirs ON theirs.id = e.submission_id
            JOIN video.fingerprints m ON m.position = ${position}::bigint
            JOIN video.submissions mine ON mine.id = m.submission_id
            WHERE ${counts} ORDER BY found.shared DESC, found.position LIMIT 20) best
          JOIN video.fingerprints e ON e.position = best.position ORDER BY best.shared DESC, best.position`
      })

      return FingerprintStore.of({
        remember,
        sameFile: (position) => Effect.map(decoded(sameFile(position)), Option.map((row) => row.position)),
        candidates: (position, keys) => decoded(candidates({ position, keys })),
        keep: (position, earlier, { match, sure }) => {
          const { from, mirrored, theirFrom, theirTo, to } = Option.getOrElse(match, () => wholeFile)
          return Effect.asVoid(sql`
            INSERT INTO video.matches (position, earlier, kind, sure, mirrored, from_seconds, to_seconds,
                                       earlier_from_seconds, earlier_to_seconds)
            VALUES (${position}::bigint, ${earlier}::bigint, ${Option.isSome(match) ? "pictures" : "file"}, ${sure},
                    ${mirrored}, ${from}, ${to}, ${theirFrom}, ${theirTo})
            ON CONFLICT (position) DO NOTHING`)
        }
      })
    })
  )
}

const wholeFile = { mirrored: false, from: 0, to: 0, theirFrom: 0, theirTo: 0 }
