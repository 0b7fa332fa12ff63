import { statements } from "./statements.ts"

/** A token whose mail nobody took over. It stays good, and does not count among the mails that its account was sent. */
export const mailNotSent = statements([
  `ALTER TABLE identity.one_time_tokens ADD COLUMN not_sent boolean NOT NULL DEFAULT false`
])
