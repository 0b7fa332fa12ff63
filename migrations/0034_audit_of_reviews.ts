import { statements } from "./statements.ts"

/** What reviewers decide is in the audit log too, written by the role that writes the verdict and by no other. */
const kinds = "'submission_approved', 'submission_rejected'"

export const auditOfReviews = statements([
  `ALTER POLICY writes_video_api ON identity.security_events WITH CHECK (kind IN (${kinds}, 'dead_letter_requeued'))`,
  `CREATE POLICY keeps_reviews ON identity.security_events AS RESTRICTIVE FOR INSERT TO midnight_identity
     WITH CHECK (kind NOT IN (${kinds}))`
])
