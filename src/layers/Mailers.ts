import { Config, DateTime, Effect, Layer, Option, Predicate, Redacted, Schema } from "effect"
import { mkdir, readdir, rename, rm, writeFile } from "node:fs/promises"
import { join, resolve } from "node:path"
import { createTransport, type SendMailOptions } from "nodemailer"
import { MailSettings } from "../services/IdentityMail.ts"
import { type Mail, Mailer, MailNotSent } from "../services/Mailer.ts"
import * as Settings from "./Config.ts"

/** A mailbox folder is for reading along, not for keeping: the oldest mails leave when it has more. */
const mostKept = 1_000

// The id makes an attempt that is repeated recognisable, to mailboxes too. Nothing in a message may name a file or an address
// to be fetched: the text is ours, but nodemailer would follow both.
const messageOf = (from: string, mail: Mail): SendMailOptions => ({
  from,
  to: mail.to,
  subject: mail.subject,
  text: mail.text,
  messageId: `<${mail.id}@midnight>`,
  headers: { "Auto-Submitted": "auto-generated" },
  disableFileAccess: true,
  disableUrlAccess: true
})

const attempt = <A>(send: () => Promise<A>) =>
  Effect.tryPromise({
    try: send,
    catch: (cause) => new MailNotSent({ cause: anonymous(cause), mayArrive: !isRefusal(cause) })
  })

// The server said no, or there was no server. A connection that broke later may have broken behind the message.
const isRefusal = (cause: unknown): boolean =>
  (Predicate.hasProperty(cause, "responseCode") && Number(cause.responseCode) >= 400)
  || (Predicate.hasProperty(cause, "command") && cause.command === "CONN")

// Mail servers repeat whom they refuse. What is said here comes into the log, and stays with a dead letter when the account is erased.
const anonymous = (cause: unknown): Error =>
  new Error(String(cause instanceof Error ? cause.message : cause).replaceAll(/[^\s<>"']+@[^\s<>"']+/g, "(an address)"))

/** Over SMTP: `smtp://user:password@host:587`, or `smtps://` for TLS from the first byte. */
export const smtpMailer = (url: Redacted.Redacted<string>, from: string) =>
  Layer.effect(
    Mailer,
    Effect.gen(function*() {
      const transport = yield* Effect.acquireRelease(
        Effect.sync(() =>
          createTransport({
            url: Redacted.value(url),
            pool: true,
            maxConnections: 2,
            connectionTimeout: 10_000,
            greetingTimeout: 10_000,
            socketTimeout: 20_000
          })
        ),
        (transport) => Effect.sync(() => transport.close())
      )
      return Mailer.of({
        send: Effect.fn("Mailer.send")((mail) =>
          attempt(() => transport.sendMail(messageOf(from, mail))).pipe(
            Effect.timeoutOrElse({
              duration: "30 seconds",
              orElse: () => Effect.fail(new MailNotSent({ cause: "no answer for 30 s", mayArrive: true }))
            }),
            Effect.asVoid
          )
        )
      })
    })
  )

/** Into a folder, one `.eml` file a mail, in the order of their names. Only this user may read them. */
export const mailboxMailer = (folder: string, from: string) =>
  Layer.effect(
    Mailer,
    Effect.gen(function*() {
      const transport = createTransport({ streamTransport: true, buffer: true, newline: "windows" })
      const write = async (name: string, mail: Mail) => {
        const { message } = await transport.sendMail(messageOf(from, mail))
        if (!Buffer.isBuffer(message)) throw new TypeError("the composer gave no bytes")
        await mkdir(folder, { recursive: true, mode: 0o700 })
        // Whole or not at all for whoever watches the folder.
        await writeFile(join(folder, `${name}.new`), message, { mode: 0o600 })
        await rename(join(folder, `${name}.new`), join(folder, name))
        const kept = (await readdir(folder)).filter((file) => file.endsWith(".eml")).sort()
        for (const old of kept.slice(0, -mostKept)) await rm(join(folder, old), { force: true })
      }
      return Mailer.of({
        send: Effect.fn("Mailer.send")(function*(mail) {
          const now = DateTime.formatIso(yield* DateTime.now).replaceAll(":", "-")
          // Whoever closes the mailer waits for a file that is being written: none is left half done, none comes after the end.
          yield* Effect.uninterruptible(attempt(() => write(`${now}_${mail.id}.eml`, mail)))
        })
      })
    })
  )

const smtpUrl = Config.schema(
  Schema.RedactedFromValue(
    Schema.String.check(Schema.isPattern(/^smtps?:\/\/[^\s/]+/, { expected: "smtp://… or smtps://…" }))
  ),
  "SMTP_URL"
)

/** By SMTP_URL; without it mail stays on this machine, in `MIDNIGHT_HOME/mailbox`, and the log says so. */
export const MailerLive = Layer.unwrap(
  Effect.gen(function*() {
    const url = yield* Config.option(smtpUrl)
    const from = yield* Config.NonEmptyString("MAIL_FROM").pipe(Config.withDefault("Midnight <no-reply@localhost>"))
    if (Option.isSome(url)) return smtpMailer(url.value, from)
    const folder = join(resolve(yield* Settings.home), "mailbox")
    yield* Effect.logInfo(`SMTP_URL is not set: mail is kept in ${folder}`)
    return mailboxMailer(folder, from)
  })
)

/** APP_URL: the app whose pages `/verify-email` and `/reset-password` take the tokens. */
export const MailSettingsLive = Layer.effect(
  MailSettings,
  Effect.gen(function*() {
    return {
      appUrl: yield* Config.option(Config.schema(Schema.String.check(Schema.isPattern(/^https?:\/\/\S+$/)), "APP_URL"))
    }
  })
)
