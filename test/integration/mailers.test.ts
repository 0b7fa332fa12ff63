import { assert, it, layer } from "@effect/vitest"
import { Cause, Context, Effect, Fiber, Layer, Redacted } from "effect"
import { once } from "node:events"
import { readdir, readFile, stat } from "node:fs/promises"
import { createServer } from "node:net"
import { join } from "node:path"
import { mailboxMailer, smtpMailer } from "../../src/layers/Mailers.ts"
import { type Mail, Mailer } from "../../src/services/Mailer.ts"
import { temporaryFolder } from "../layers/Held.ts"

const from = "Midnight <no-reply@example.com>"
const token = "dQw4w9WgXcQ-dQw4w9WgXcQ_dQw4w9WgXcQ-dQw4w9W"
const mail: Mail = {
  id: "0198c0de-0000-7000-8000-000000000001",
  to: "ada@example.com",
  subject: "Choose a new password",
  text: `One line.\n\nToken: ${token}\n`
}

/** What was delivered, and how the deliverer behaves from now on. */
class Delivered extends Context.Service<Delivered, {
  readonly messages: Effect.Effect<ReadonlyArray<string>>
  readonly refuse: Effect.Effect<void>
}>()("midnight/test/Delivered") {}

/** As much of an SMTP server as takes a message (RFC 5321), or refuses it. */
const smtpServer = Effect.acquireRelease(
  Effect.promise(async () => {
    const messages: Array<string> = []
    const state = { refusing: false }
    const server = createServer((socket) => {
      let [buffer, inData] = ["", false]
      socket.on("error", () => {})
      socket.write("220 test\r\n")
      const answerTo = (line: string) => {
        if (/^(EHLO|HELO)/i.test(line)) return "250 test"
        if (/^RCPT/i.test(line) && state.refusing) return "450 4.2.1 <ada@example.com>: later"
        if (/^DATA/i.test(line)) {
          inData = true
          return "354 go on"
        }
        return /^QUIT/i.test(line) ? "221 bye" : "250 ok"
      }
      socket.on("data", (chunk) => {
        buffer += chunk.toString()
        for (let end = buffer.indexOf(inData ? "\r\n.\r\n" : "\r\n"); end !== -1;) {
          const part = buffer.slice(0, end)
          buffer = buffer.slice(end + (inData ? 5 : 2))
          if (inData) {
            inData = false
            messages.push(`${part}\r\n`)
            socket.write("250 taken\r\n")
          } else socket.write(`${answerTo(part)}\r\n`)
          end = buffer.indexOf(inData ? "\r\n.\r\n" : "\r\n")
        }
      })
    }).listen(0, "127.0.0.1")
    await once(server, "listening")
    const address = server.address()
    if (address === null || typeof address === "string") throw new Error("no port")
    return { server, messages, state, url: `smtp://127.0.0.1:${address.port}` }
  }),
  ({ server }) => Effect.sync(() => server.close())
)

const smtp = Layer.unwrap(Effect.map(smtpServer, ({ messages, state, url }) =>
  Layer.merge(
    smtpMailer(Redacted.make(url), from),
    Layer.succeed(Delivered)({
      messages: Effect.sync(() => messages),
      refuse: Effect.sync(() => void (state.refusing = true))
    })
  )))

const mailbox = Layer.unwrap(Effect.gen(function*() {
  const home = yield* temporaryFolder
  const place = { folder: join(home, "mailbox") }
  const read = Effect.promise(async () => {
    const names = (await readdir(place.folder)).sort()
    for (const name of names) assert.strictEqual((await stat(join(place.folder, name))).mode & 0o077, 0)
    return Promise.all(names.map((name) => readFile(join(place.folder, name), "utf8")))
  })
  // A file where the folder should be, below which nothing can be written.
  const blocked = mailboxMailer(join(import.meta.filename, "mailbox"), from)
  const refusing = { now: false }
  const switching = Layer.effect(
    Mailer,
    Effect.gen(function*() {
      const good = Context.get(yield* Layer.build(mailboxMailer(place.folder, from)), Mailer)
      const bad = Context.get(yield* Layer.build(blocked), Mailer)
      return Mailer.of({ send: (mail) => refusing.now ? bad.send(mail) : good.send(mail) })
    })
  )
  return Layer.merge(
    switching,
    Layer.succeed(Delivered)({ messages: read, refuse: Effect.sync(() => void (refusing.now = true)) })
  )
}))

for (const [name, adapter] of [["SMTP", smtp], ["the mailbox folder", mailbox]] as const) {
  layer(adapter, { excludeTestServices: true })(`mail by ${name}`, (it) => {
    it.effect("arrives whole, with its token in one piece", () =>
      Effect.gen(function*() {
        yield* (yield* Mailer).send(mail)
        const [message = "", ...more] = yield* (yield* Delivered).messages
        assert.deepStrictEqual(more, [])
        const [head = "", body = ""] = message.split("\r\n\r\n", 2)
        for (
          const line of [
            "From: Midnight <no-reply@example.com>",
            "To: ada@example.com",
            "Subject: Choose a new password"
          ]
        ) {
          assert.include(head.split("\r\n"), line)
        }
        assert.include(head, `Message-ID: <${mail.id}@midnight>`)
        assert.include(head, "Auto-Submitted: auto-generated")
        assert.strictEqual(body, "One line.")
        assert.include(message.split("\r\n"), `Token: ${token}`)
      }))

    it.effect("takes an address for one address, whatever is in it", () =>
      Effect.gen(function*() {
        yield* (yield* Mailer).send({
          ...mail,
          subject: "a\r\nBcc: eve@example.com",
          to: "a@example.com\r\nCc: eve@example.com"
        })
          .pipe(Effect.ignore)
        for (const message of yield* (yield* Delivered).messages) assert.notMatch(message, /^(Bcc|Cc):/im)
      }))

    it.effect("says so when nobody took it, and not who it was for", () =>
      Effect.gen(function*() {
        yield* (yield* Delivered).refuse
        const error = yield* Effect.flip((yield* Mailer).send(mail))
        assert.strictEqual(error._tag, "MailNotSent")
        const told = Cause.pretty(Cause.fail(error))
        assert.match(told, name === "SMTP" ? /450 4\.2\.1/ : /ENOTDIR/)
        assert.notInclude(told, "ada@example.com")
      }))
  })
}

it.live("the mailbox folder is left with a whole mail when its sender is interrupted", () =>
  Effect.gen(function*() {
    const folder = join(yield* temporaryFolder, "mailbox")
    const mailer = Context.get(yield* Layer.build(mailboxMailer(folder, from)), Mailer)
    const sending = yield* Effect.forkChild(mailer.send(mail), { startImmediately: true })
    yield* Fiber.interrupt(sending)
    const files = yield* Effect.promise(() => readdir(folder))
    assert.lengthOf(files, 1)
    assert.match(files[0] ?? "", /\.eml$/)
  }))
