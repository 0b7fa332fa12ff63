import { Schema } from "effect"
import { pageOf, pageQuery } from "./Page.ts"
import { Problem } from "./Problem.ts"

/** The queues between bulkheads, as their tables are called, and those of events to receivers outside and of mail. */
export const QueueName = Schema.Literals([
  "payment_commands",
  "settlement_commands",
  "verification_commands",
  "webhook_deliveries",
  "mail_commands"
])
export type QueueName = typeof QueueName.Type

/** Whose work a queue holds. */
export const bulkheadOf = {
  payment_commands: "payments",
  settlement_commands: "rewards",
  verification_commands: "video",
  webhook_deliveries: "payments",
  mail_commands: "identity"
} as const

/** The id of what a command is about, with what caused it where one thing has several commands. */
export const CommandId = Schema.String.check(Schema.isMinLength(1), Schema.isMaxLength(255))

/** A command that was given up after its last attempt, and stays until somebody acts. */
export const DeadLetter = Schema.Struct({
  queue: QueueName,
  bulkhead: Schema.Literals(["payments", "rewards", "video", "identity"]),
  id: CommandId,
  attempts: Schema.Int,
  lastFailure: Schema.NullOr(Schema.String),
  requestId: Schema.NullOr(Schema.String).annotate({ description: "The request that asked for it" }),
  createdAt: Schema.DateTimeUtcFromString,
  failedAt: Schema.DateTimeUtcFromString
}).annotate({ identifier: "DeadLetter" })
export type DeadLetter = typeof DeadLetter.Type

export const DeadLetterPage = pageOf(DeadLetter).annotate({ identifier: "DeadLetterPage" })

/** Queue by queue, and in each the longest dead first. */
export const deadLetterQuery = { ...pageQuery, queue: Schema.optionalKey(QueueName) }

export const Requeued = Schema.Struct({ queue: QueueName, id: CommandId, requeuedAt: Schema.DateTimeUtcFromString })
  .annotate({ identifier: "Requeued" })
export type Requeued = typeof Requeued.Type

export class NotDead extends Problem<NotDead>()("NotDead", {
  type: "/problems/not-dead",
  status: 409,
  title: "The command is not a dead letter"
}, { code: Schema.tag("NotDead"), state: Schema.Literals(["pending", "completed"]) }) {}
