import { Context, Data, Duration, Effect, Layer, Option, Schedule, Schema } from "effect"
import { PersistedQueue } from "effect/persistence"
import { SqlError } from "effect/sql"
import { OutgoingId, PaymentId, SubmissionId, UserId, VideoId } from "../domain/Ids.ts"
import { Provider } from "../domain/Payments.ts"
import { CurrentRequest, nobodys } from "../domain/Request.ts"
import { NoConnection } from "./Database.ts"
import type { EventFacts } from "./Gateway.ts"
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
  return { requestId: (yield* CurrentRequest).id, traceparent: yield* TraceContext.current }
})

/** Ask the provider about a payment, a refund or payout, or a dispute. The command's id is `<what it is about>:<cause>`. */
export const PaymentCommand = Schema.Union([
  Schema.Struct({ ...origin, paymentId: PaymentId }),
  Schema.Struct({ ...origin, outgoingId: OutgoingId }),
  Schema.Struct({ ...origin, provider: Provider, dispute: Schema.String })
])
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

class Connecting extends Data.TaggedError("Connecting")<{ readonly cause: unknown }> {}

/** Nothing came in time, of the pool's own limits: a server that is not there refuses at once. */
const isLate = (error: SqlError.SqlError) =>
  error.reason.cause instanceof NoConnection
  || (error.reason._tag === "ConnectionError" && /timed out/i.test(String(error.reason.cause)))

/**
 * How long somebody waits for a connection is a limit for requests. A process that starts, on a machine that is busy, makes its
 * first connections meanwhile: it would end for want of half a second, and its supervisor would start it again in the same rush.
 */
const onceConnected = <A, E, R>(store: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  store.pipe(
    Effect.catchDefect((defect) =>
      SqlError.isSqlError(defect) && isLate(defect)
        ? Effect.fail(new Connecting({ cause: defect }))
        : Effect.die(defect)
    ),
    Effect.retry({
      schedule: Schedule.spaced("50 millis").pipe(Schedule.upTo({ duration: "30 seconds" })),
      while: (error) => error instanceof Connecting
    }),
    Effect.catchIf((error) => error instanceof Connecting, ({ cause }) => Effect.die(cause))
  )

// Polling costs one indexed query each; a lease of 12 s, renewed every 5 s, lets a survivor take over within 15 s.
const queueOver = <S extends Schema.Codec<unknown, unknown>>(
  table: QueueName,
  schema: S,
  maxAttempts: number,
  side: Side
) =>
  Effect.gen(function*() {
    const store = yield* onceConnected(PersistedQueue.makeStoreSql({
      tableName: table,
      pollInterval: Duration.millis(150),
      lockRefreshInterval: Duration.seconds(5),
      lockExpiration: Duration.seconds(12)
    }))
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
    Effect.provideService(CurrentRequest, { ...nobodys, id: from.requestId }),
    Effect.annotateLogs({ request_id: from.requestId }),
    TraceContext.continueFrom(from.traceparent)
  )

/** The queue wraps what the database said; the transaction that an offer is part of has to hear it. */
export const offeredWith = <A>(
  offer: Effect.Effect<A, PersistedQueue.PersistedQueueError | Schema.SchemaError>
): Effect.Effect<A, SqlError.SqlError> =>
  Effect.catch(offer, (error) =>
    error._tag === "PersistedQueueError" && SqlError.isSqlError(error.cause)
      ? Effect.fail(error.cause)
      : Effect.die(error))

/**
 * The command `<id>:created` sees to it that an intent reaches its end, should its request not live to. Its delay is longer
 * than a request can take, so that it is done by then unless its process died.
 */
export const createdCause = (id: string) => ({ id: `${id}:created`, delay: Duration.seconds(30) })
export const isCreatedCause = (commandId: string): boolean => commandId.endsWith(":created")

const outgoingIdOf = Schema.decodeUnknownOption(OutgoingId)

interface Subject {
  /** What the command's id begins with. */
  readonly id: string
  readonly about:
    | { readonly paymentId: PaymentId }
    | { readonly outgoingId: OutgoingId }
    | { readonly provider: Provider; readonly dispute: string }
}

/** What somebody has to ask the provider about after an event. None: the event is about nothing of ours. */
export const subjectOf = (
  provider: Provider,
  { about, operationId, paymentId, reference }: Pick<EventFacts, "about" | "operationId" | "paymentId" | "reference">
): Option.Option<Subject> => {
  if (about === "dispute") {
    return Option.map(reference, (dispute) => ({ id: `${provider}:${dispute}`, about: { provider, dispute } }))
  }
  const outgoing = Option.flatMap(operationId, outgoingIdOf)
  if (about === "payout" || (about === "refund" && Option.isSome(outgoing))) {
    return Option.map(outgoing, (outgoingId) => ({ id: outgoingId, about: { outgoingId } }))
  }
  // A refund that the provider does not name leads to its payment, and from there to all its refunds.
  return Option.map(paymentId, (id) => ({ id, about: { paymentId: id } }))
}
