import { Context, Duration, Effect, Layer, type Option, Schedule, Schema } from "effect"
import { PersistedQueue } from "effect/persistence"
import { PaymentId, SubmissionId, UserId, VideoId } from "../domain/Ids.ts"
import { CurrentRequestId } from "../domain/Request.ts"
import * as TraceContext from "./TraceContext.ts"

/**
 * The durable commands between bulkheads, one queue each (ARCHITECTURE, Work across bulkheads). `offer` inside the caller's
 * own transaction commits and rolls back with it; the id is that of what the command is about, so offering twice is
 * offering once. Consumers are idempotent: a command may be delivered again.
 */
const origin = { requestId: Schema.String, traceparent: Schema.OptionFromNullOr(Schema.String) }

/** What every command carries. */
export interface Commanded {
  readonly requestId: string
  readonly traceparent: Option.Option<string>
}

/** Where a command comes from: consumers continue this trace, and log this request id. */
export const currentOrigin = Effect.gen(function*() {
  return { requestId: yield* CurrentRequestId, traceparent: yield* TraceContext.current }
})

/** Ask the provider, or believe its event, and credit the payment. The command's id is `<paymentId>:<cause>`. */
export const PaymentCommand = Schema.Struct({ ...origin, paymentId: PaymentId })
export const VerifyCommand = Schema.Struct({ ...origin, submissionId: SubmissionId, videoId: VideoId })
/** A submission to a campaign has its verdict. It says no more: the money side asks for the verdict itself. */
export const SettleCommand = Schema.Struct({ ...origin, submissionId: SubmissionId })

/** Tell an account's owner something. It names no address and no token: whoever sends the mail looks up one and makes the other. */
export const MailCommand = Schema.Struct({
  ...origin,
  kind: Schema.Literals(["verify_email", "reset_password", "password_changed"]),
  /** None where somebody asked for an account that does not exist: such a command costs as much, and does nothing. */
  userId: Schema.OptionFromNullOr(UserId)
})

export class PaymentCommands extends Context.Service<
  PaymentCommands,
  PersistedQueue.PersistedQueue<typeof PaymentCommand.Type>
>()("midnight/services/PaymentCommands") {}

export class VerificationCommands extends Context.Service<
  VerificationCommands,
  PersistedQueue.PersistedQueue<typeof VerifyCommand.Type>
>()("midnight/services/VerificationCommands") {}

export class SettlementCommands extends Context.Service<
  SettlementCommands,
  PersistedQueue.PersistedQueue<typeof SettleCommand.Type>
>()("midnight/services/SettlementCommands") {}

export class MailCommands extends Context.Service<
  MailCommands,
  PersistedQueue.PersistedQueue<typeof MailCommand.Type>
>()("midnight/services/MailCommands") {}

/** Attempts follow after 1 s, 2 s, 4 s … at most a minute apart. */
const retrySchedule = Schedule.min([Schedule.exponential("1 second"), Schedule.spaced("1 minute")])

export type QueueName = "payment_commands" | "verification_commands" | "settlement_commands" | "mail_commands"

/** Producers only add; the consumer also works the rows, and clears away what is long done. */
type Side = "producer" | "consumer"

// Polling costs one indexed query each; a lease of 12 s, renewed every 5 s, lets a survivor take over within 15 s.
const queueOver = <S extends Schema.Codec<unknown, unknown>>(
  table: QueueName,
  schema: S,
  maxAttempts: number,
  side: Side
) =>
  Effect.gen(function*() {
    const store = yield* PersistedQueue.makeStoreSql({
      tableName: table,
      pollInterval: Duration.millis(150),
      lockRefreshInterval: Duration.seconds(5),
      lockExpiration: Duration.seconds(12)
    })
    // What was done is kept for a week, as the memory of what was offered before; dead letters stay until somebody acts.
    if (side === "consumer") {
      yield* Effect.forkScoped(
        store.cleanup({ timeToLive: Duration.days(7), failedTimeToLive: undefined }).pipe(
          Effect.catch((error) => Effect.logWarning("finished commands could not be purged", error)),
          Effect.repeat(Schedule.spaced("1 hour"))
        )
      )
    }
    const factory = yield* Effect.provideService(PersistedQueue.makeFactory, PersistedQueue.PersistedQueueStore, store)
    const queue = yield* factory.make({ name: table, schema, maxAttempts, retrySchedule })
    return {
      ...queue,
      offer: (...[value, options]: Parameters<typeof queue.offer>) =>
        queue.offer(value, options).pipe(
          Effect.withSpan(`send ${table}`, { kind: "producer", attributes: messaging("send", table, options?.id) })
        )
    }
  })

/** Attributes of OpenTelemetry's messaging conventions: the queue is a table of PostgreSQL. */
const messaging = (operation: "send" | "process", queue: QueueName, id: string | undefined) => ({
  "messaging.system": "postgresql",
  "messaging.operation.name": operation,
  "messaging.operation.type": operation,
  "messaging.destination.name": queue,
  ...(id === undefined ? {} : { "messaging.message.id": id })
})

// Factories, not constants: a layer is memoised by reference, and producer and consumer stand on different pools.
export const paymentCommands = (side: Side = "producer") =>
  Layer.effect(PaymentCommands, queueOver("payment_commands", PaymentCommand, 20, side))
export const verificationCommands = (side: Side = "producer") =>
  Layer.effect(VerificationCommands, queueOver("verification_commands", VerifyCommand, 3, side))
export const settlementCommands = (side: Side = "producer") =>
  Layer.effect(SettlementCommands, queueOver("settlement_commands", SettleCommand, 20, side))
export const mailCommands = (side: Side = "producer") =>
  Layer.effect(MailCommands, queueOver("mail_commands", MailCommand, 12, side))

/** Runs a consumer's work in the trace and under the request id that its command came from. */
export const continuing = (from: Commanded, queue: QueueName, id: string) => <A, E, R>(work: Effect.Effect<A, E, R>) =>
  work.pipe(
    Effect.withSpan(`process ${queue}`, { kind: "consumer", attributes: messaging("process", queue, id) }),
    Effect.provideService(CurrentRequestId, from.requestId),
    Effect.annotateLogs({ request_id: from.requestId }),
    TraceContext.continueFrom(from.traceparent)
  )
