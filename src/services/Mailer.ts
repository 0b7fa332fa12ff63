import { Context, type Effect, Schema } from "effect"

export interface Mail {
  /** The same for every attempt to send this mail. */
  readonly id: string
  readonly to: string
  readonly subject: string
  /** Plain text, its lines ended by `\n`. */
  readonly text: string
}

/** The mail was not taken over by whoever delivers it; another attempt may succeed. */
export class MailNotSent extends Schema.TaggedError<MailNotSent>()("MailNotSent", {
  cause: Schema.Defect(),
  /** False only where it is certain that nobody took it over. */
  mayArrive: Schema.Boolean
}) {}

/** Hands a mail to whoever delivers it, and answers when they have it. */
export class Mailer extends Context.Service<Mailer, {
  send(mail: Mail): Effect.Effect<void, MailNotSent>
}>()("midnight/services/Mailer") {}
