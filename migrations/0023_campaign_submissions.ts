import { statements } from "./statements.ts"

/** A sponsor reads what was submitted to a campaign, newest first. */
export const campaignSubmissions = statements([
  `CREATE INDEX submissions_of_campaign ON video.submissions (campaign_id, created_at DESC, id DESC)
     WHERE status <> 'reserving'`
])
