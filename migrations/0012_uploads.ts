import { statements } from "./statements.ts"

/**
 * A video's bytes go when nobody needs them any more, its row stays: submissions refer to it. `uploads_stored` answers how
 * much a member has stored, `uploads_kept` which bytes have been kept long enough.
 */
export const uploads = statements([
  `ALTER TABLE video.uploads ADD COLUMN removed_at timestamptz(3)
     CONSTRAINT uploads_removed_when_complete CHECK (removed_at IS NULL OR status = 'complete')`,
  `CREATE INDEX uploads_stored ON video.uploads (user_id) INCLUDE (bytes) WHERE removed_at IS NULL`,
  `CREATE INDEX uploads_kept ON video.uploads (completed_at) WHERE status = 'complete' AND removed_at IS NULL`,
  `GRANT UPDATE (removed_at) ON video.uploads TO midnight_video_worker`
])
