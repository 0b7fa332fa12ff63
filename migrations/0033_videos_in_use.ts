import { statements } from "./statements.ts"

/**
 * The bytes of a video stay for as long as a submission of it has no verdict. Whoever adds one holds the upload's row, so that
 * a sweep which gives up the bytes at that moment comes before it or after it, and sees it. The lock takes more than the API's
 * role may otherwise do to uploads, so a function of the owner's takes it.
 */
export const videosInUse = statements([
  `CREATE FUNCTION video.hold_upload(wanted uuid) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER
     SET search_path = pg_catalog, pg_temp AS $$
   BEGIN
     PERFORM 1 FROM video.uploads WHERE id = wanted AND removed_at IS NULL FOR SHARE;
     RETURN FOUND;
   END $$`,
  `REVOKE EXECUTE ON FUNCTION video.hold_upload(uuid) FROM PUBLIC`,
  `GRANT EXECUTE ON FUNCTION video.hold_upload(uuid) TO midnight_video_api`,
  `CREATE FUNCTION video.keep_needed() RETURNS trigger LANGUAGE plpgsql AS $$
   BEGIN
     IF EXISTS (SELECT FROM video.submissions WHERE video_id = NEW.id AND verdict IS NULL) THEN
       RAISE EXCEPTION 'a video is kept until its submissions are decided' USING ERRCODE = 'restrict_violation';
     END IF;
     RETURN NEW;
   END $$`,
  `CREATE TRIGGER kept_while_needed BEFORE UPDATE OF removed_at ON video.uploads FOR EACH ROW
     WHEN (OLD.removed_at IS NULL AND NEW.removed_at IS NOT NULL) EXECUTE FUNCTION video.keep_needed()`
])
