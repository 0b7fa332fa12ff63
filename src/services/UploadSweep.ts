import { Clock, type Duration, Effect, Option, Stream } from "effect"
import { withDatabase } from "./Database.ts"
import type { Spool, StoredFile } from "./Spool.ts"
import type { UploadRow, UploadStore } from "./UploadStore.ts"

/** A file that somebody wrote to within this time is somebody's, whatever the database says of it yet. */
const youngMillis = 60 * 60 * 1_000
/** Files that one query is asked about. */
const together = 500

/** What a row says a file is for. Whole uploads that nobody writes to any more are for nothing. */
const isNeeded = ({ kind, sha256 }: StoredFile, row: UploadRow | undefined): boolean => {
  if (row === undefined || kind === "incoming") return false
  if (kind === "partial") return Option.isNone(row.sha256)
  return !row.removed && Option.contains(row.sha256, sha256)
}

/**
 * First the database gives up what nobody needs, then a file stays only while a row stands behind it. So a crash between the
 * two, a lost race of two senders, and a process that died over an upload all end the same way.
 */
export const sweepSpool = (
  spool: Spool["Service"],
  store: UploadStore["Service"],
  retention: Duration.Duration
) => {
  const judge = Effect.fnUntraced(function*(files: ReadonlyArray<StoredFile>) {
    const rows = yield* withDatabase(store.among(files.map(({ videoId }) => videoId)))
    const known = new Map(rows.map((row) => [row.id, row]))
    const unneeded = files.filter((file) => !isNeeded(file, known.get(file.videoId)))
    yield* Effect.forEach(unneeded, ({ remove }) => remove, { discard: true })
    return unneeded.length
  })
  return Effect.gen(function*() {
    const now = yield* Clock.currentTimeMillis
    yield* withDatabase(store.forget)
    const retired = yield* withDatabase(store.retire(retention))
    const removed = yield* spool.files.pipe(
      Stream.filter(({ writtenAtMillis }) => writtenAtMillis < now - youngMillis),
      Stream.grouped(together),
      Stream.mapEffect(judge),
      Stream.runFold(() => 0, (sum, some) => sum + some)
    )
    if (retired + removed > 0) yield* Effect.logInfo(`Gave up ${retired} old videos, removed ${removed} files`)
  }).pipe(Effect.withSpan("Uploads.sweep"))
}
