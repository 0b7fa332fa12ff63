import { statements } from "./statements.ts"

/**
 * What each submission shows, in the order in which it was first looked at, and what it was found to repeat. The worker's
 * role only adds. Its place in the order and its digest are the database's to say: whoever is first of two equal videos
 * is paid, so a video process that was taken over must not choose.
 */
const fingerprints = [
  `CREATE TABLE video.fingerprint_order (
     one boolean PRIMARY KEY DEFAULT true CHECK (one),
     last bigint NOT NULL CHECK (last > 0)
   ) WITH (fillfactor = 50)`,
  `CREATE TABLE video.fingerprints (
     submission_id uuid PRIMARY KEY REFERENCES video.submissions,
     position bigint NOT NULL UNIQUE CHECK (position > 0),
     sha256 text NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
     frames bytea NOT NULL CHECK (length(frames) % 16 = 0 AND length(frames) <= 65536),
     created_at timestamptz(3) NOT NULL DEFAULT now()
   )`,
  `CREATE INDEX fingerprints_sha256 ON video.fingerprints (sha256, position)`,
  // The lock on the one row of the order is kept until the end of the transaction: those that come later see all that came
  // earlier, complete with its keys. A sequence would hand out places that become visible in another order.
  `CREATE FUNCTION video.place_fingerprint() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
     SET search_path = pg_catalog, pg_temp AS $$
   BEGIN
     SELECT u.sha256 INTO NEW.sha256 FROM video.submissions s JOIN video.uploads u ON u.id = s.video_id
       WHERE s.id = NEW.submission_id;
     INSERT INTO video.fingerprint_order AS o (last) VALUES (1)
       ON CONFLICT (one) DO UPDATE SET last = o.last + 1 RETURNING last INTO NEW.position;
     RETURN NEW;
   END $$`,
  `REVOKE EXECUTE ON FUNCTION video.place_fingerprint() FROM PUBLIC`,
  `CREATE TRIGGER placed BEFORE INSERT ON video.fingerprints FOR EACH ROW EXECUTE FUNCTION video.place_fingerprint()`,
  `GRANT SELECT, INSERT (submission_id, frames) ON video.fingerprints TO midnight_video_worker`,
  `GRANT SELECT ON video.fingerprints TO midnight_video_api`
]

const keys = [
  `CREATE TABLE video.fingerprint_keys (
     key integer NOT NULL,
     position bigint NOT NULL REFERENCES video.fingerprints (position),
     PRIMARY KEY (key, position)
   )`,
  // Keys are only ever added, and looked up without visiting the table: that takes pages known to be visible to all.
  `ALTER TABLE video.fingerprint_keys SET (autovacuum_vacuum_insert_scale_factor = 0.05)`,
  `GRANT SELECT, INSERT ON video.fingerprint_keys TO midnight_video_worker`
]

const matches = [
  `CREATE TABLE video.matches (
     position bigint PRIMARY KEY REFERENCES video.fingerprints (position),
     earlier bigint NOT NULL REFERENCES video.fingerprints (position),
     kind text NOT NULL CHECK (kind IN ('file', 'pictures')),
     sure boolean NOT NULL,
     mirrored boolean NOT NULL,
     from_seconds real NOT NULL CHECK (from_seconds >= 0),
     to_seconds real NOT NULL CHECK (to_seconds >= from_seconds),
     earlier_from_seconds real NOT NULL CHECK (earlier_from_seconds >= 0),
     earlier_to_seconds real NOT NULL CHECK (earlier_to_seconds >= earlier_from_seconds),
     created_at timestamptz(3) NOT NULL DEFAULT now(),
     CHECK (earlier < position),
     CHECK (kind = 'pictures' OR sure)
   )`,
  `GRANT SELECT, INSERT ON video.matches TO midnight_video_worker`,
  `GRANT SELECT ON video.matches TO midnight_video_api`
]

export const fingerprintTables = statements([...fingerprints, ...keys, ...matches])
