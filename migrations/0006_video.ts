import { statements } from "./statements.ts"

/**
 * Uploads, submissions and the heartbeats of the processes that verify. The API's role makes uploads and submissions; the
 * worker's may only say what became of them, so that a video process which was taken over cannot redirect a reward.
 */
const uploads = [
  `CREATE TABLE video.uploads (
     id uuid PRIMARY KEY,
     user_id uuid NOT NULL,
     bytes integer NOT NULL CHECK (bytes BETWEEN 1 AND 209715200),
     content_type text NOT NULL
       CHECK (content_type IN ('video/mp4', 'video/quicktime', 'video/webm', 'video/x-matroska')),
     expected_sha256 text CHECK (expected_sha256 ~ '^[0-9a-f]{64}$'),
     sha256 text CHECK (sha256 ~ '^[0-9a-f]{64}$'),
     status text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'complete')),
     created_at timestamptz(3) NOT NULL DEFAULT now(),
     expires_at timestamptz(3) NOT NULL,
     completed_at timestamptz(3),
     CHECK ((status = 'complete') = (sha256 IS NOT NULL AND completed_at IS NOT NULL)),
     CHECK (expected_sha256 IS NULL OR sha256 IS NULL OR sha256 = expected_sha256)
   )`,
  `CREATE INDEX uploads_unfinished ON video.uploads (user_id, expires_at) WHERE status = 'pending'`,
  `CREATE INDEX uploads_abandoned ON video.uploads (expires_at) WHERE status = 'pending'`,
  `GRANT SELECT, INSERT ON video.uploads TO midnight_video_api`,
  `GRANT SELECT, DELETE, UPDATE (status, sha256, completed_at) ON video.uploads TO midnight_video_worker`
]

// Times have milliseconds, as JavaScript's do: a cursor made of one must find its row again.
const submissions = [
  `CREATE TABLE video.submissions (
     id uuid PRIMARY KEY,
     user_id uuid NOT NULL,
     video_id uuid NOT NULL REFERENCES video.uploads,
     campaign_id uuid,
     status text NOT NULL CHECK (status IN
       ('reserving', 'queued', 'verifying', 'approved', 'rejected', 'needs_review', 'failed')),
     rules jsonb NOT NULL,
     reward_amount bigint CHECK (reward_amount BETWEEN 1 AND 1000000000000),
     reward_currency text CHECK (reward_currency ~ '^[A-Z]{3}$'),
     checks jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(checks) = 'array'),
     reasons jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(reasons) = 'array'),
     verdict text CHECK (verdict IN ('approved', 'rejected')),
     decided_by text,
     decided_at timestamptz(3),
     attempts integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
     worker_id uuid,
     request_id text NOT NULL,
     traceparent text,
     created_at timestamptz(3) NOT NULL DEFAULT now(),
     updated_at timestamptz(3) NOT NULL DEFAULT now(),
     UNIQUE NULLS NOT DISTINCT (video_id, campaign_id),
     CHECK (coalesce(verdict, '-') = CASE WHEN status IN ('approved', 'rejected') THEN status ELSE '-' END),
     CHECK (verdict IS NULL OR (decided_by IS NOT NULL AND decided_at IS NOT NULL)),
     CHECK ((reward_amount IS NULL) = (reward_currency IS NULL)),
     CHECK ((reward_amount IS NOT NULL) = (campaign_id IS NOT NULL AND status <> 'reserving')),
     CHECK (status <> 'reserving' OR campaign_id IS NOT NULL)
   )`,
  `CREATE INDEX submissions_of_user ON video.submissions (user_id, created_at DESC, id DESC)
     WHERE status <> 'reserving'`,
  `CREATE INDEX submissions_waiting ON video.submissions (id) WHERE status IN ('reserving', 'queued')`,
  `CREATE INDEX submissions_reserving ON video.submissions (created_at) WHERE status = 'reserving'`,
  `CREATE INDEX submissions_unjudged ON video.submissions (id) WHERE status IN ('queued', 'verifying')`,
  `CREATE INDEX submissions_verifying ON video.submissions (worker_id) WHERE status = 'verifying'`,
  `CREATE FUNCTION video.keep_verdict() RETURNS trigger LANGUAGE plpgsql AS $$
   BEGIN
     IF TG_OP = 'DELETE' THEN
       IF OLD.status = 'reserving' THEN RETURN OLD; END IF;
       RAISE EXCEPTION 'a submission is kept for good' USING ERRCODE = 'restrict_violation';
     END IF;
     RAISE EXCEPTION 'a verdict is written once' USING ERRCODE = 'restrict_violation';
   END $$`,
  `CREATE TRIGGER verdict_once BEFORE UPDATE ON video.submissions FOR EACH ROW
     WHEN (OLD.verdict IS NOT NULL) EXECUTE FUNCTION video.keep_verdict()`,
  `CREATE TRIGGER kept_for_good BEFORE DELETE ON video.submissions FOR EACH ROW
     EXECUTE FUNCTION video.keep_verdict()`,
  `GRANT SELECT, INSERT, DELETE,
     UPDATE (status, rules, reward_amount, reward_currency, reasons, verdict, decided_by, decided_at, updated_at)
     ON video.submissions TO midnight_video_api`,
  `GRANT SELECT,
     UPDATE (status, checks, reasons, verdict, decided_by, decided_at, attempts, worker_id, updated_at)
     ON video.submissions TO midnight_video_worker`
]

const heartbeats = [
  `CREATE TABLE video.heartbeats (
     process_id uuid PRIMARY KEY,
     status text NOT NULL CHECK (status IN ('ok', 'degraded', 'down')),
     started_at timestamptz(3) NOT NULL DEFAULT now(),
     beat_at timestamptz(3) NOT NULL DEFAULT now()
   ) WITH (fillfactor = 50)`,
  `GRANT SELECT ON video.heartbeats TO midnight_video_api`,
  `GRANT SELECT, INSERT, UPDATE, DELETE ON video.heartbeats TO midnight_video_worker`
]

export const video = statements([...uploads, ...submissions, ...heartbeats])
