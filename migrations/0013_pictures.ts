import { statements } from "./statements.ts"

/** Whether the verification left a thumbnail and a contact sheet beside the video. */
export const pictures = statements([
  `ALTER TABLE video.submissions ADD COLUMN has_pictures boolean NOT NULL DEFAULT false`,
  `GRANT UPDATE (has_pictures) ON video.submissions TO midnight_video_worker`
])
