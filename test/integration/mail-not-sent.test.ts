import { assert, layer } from "@effect/vitest"
import { Context, Effect, Layer, Option } from "effect"
import { randomUUID } from "node:crypto"
import { Email } from "../../src/domain/Identity.ts"
import { Identity } from "../../src/services/Identity.ts"
import { MailDelivery, MailSettings } from "../../src/services/IdentityMail.ts"
import { type Mail, Mailer, MailNotSent } from "../../src/services/Mailer.ts"
import { IdentityGround } from "../layers/IdentityGround.ts"
import { device, right } from "../layers/Members.ts"

/** The mail server: what it does with a mail, and what it took over. */
class Post extends Context.Service<Post, {
  readonly taken: Array<Mail>
  readonly state: { does: "takes" | "refuses" | "breaks off" }
}>()("midnight/test/Post") {
  static readonly layer = Layer.sync(Post, (): Post["Service"] => ({ taken: [], state: { does: "takes" } }))
}
const mailer = Layer.effect(
  Mailer,
  Effect.map(Post, ({ state, taken }) => ({
    send: (mail: Mail) =>
      Effect.suspend(() => {
        if (state.does === "refuses") return Effect.fail(new MailNotSent({ cause: "450 later", mayArrive: false }))
        taken.push(mail)
        return state.does === "takes" ? Effect.void : Effect.fail(new MailNotSent({ cause: "reset", mayArrive: true }))
      })
  }))
)
const Ground = MailDelivery.layer.pipe(
  Layer.provide([mailer, Layer.succeed(MailSettings, { appUrl: Option.none() })]),
  Layer.provideMerge(Post.layer),
  Layer.provideMerge(IdentityGround)
)

const account = Effect.gen(function*() {
  const email = Email.make(`${randomUUID()}@example.org`)
  const { user } = yield* (yield* Identity).register({ email, password: right, displayName: Option.none() }, device())
  return { id: user.id, email }
})
/** One attempt to send what somebody asked for. */
const attempt = Effect.fnUntraced(function*(userId: Effect.Success<typeof account>["id"]) {
  const { work } = yield* MailDelivery
  const command = {
    requestId: "r",
    traceparent: Option.none(),
    kind: "reset_password",
    userId: Option.some(userId)
  } as const
  yield* Effect.ignore(work(command, randomUUID()))
})
const sentTo = (email: string) => Effect.map(Post, ({ taken }) => taken.filter(({ to }) => to === email).length)
// Nothing takes mail from the queue here: each attempt is the test's own.
layer(Ground, { timeout: "60 seconds", excludeTestServices: true })("mail that was not sent", (it) => {
  it.effect("does not use up what its account may be sent, and what is sent then is no more than that", () =>
    Effect.gen(function*() {
      const { id, email } = yield* account
      const { state } = yield* Post
      state.does = "refuses"
      for (let n = 0; n < 12; n++) yield* attempt(id)
      assert.strictEqual(yield* sentTo(email), 0)
      state.does = "takes"
      for (let n = 0; n < 8; n++) yield* attempt(id)
      assert.strictEqual(yield* sentTo(email), 5)
    }))

  it.effect("counts where it may have arrived", () =>
    Effect.gen(function*() {
      const { id, email } = yield* account
      const { state } = yield* Post
      state.does = "breaks off"
      for (let n = 0; n < 8; n++) yield* attempt(id)
      state.does = "takes"
      yield* attempt(id)
      assert.strictEqual(yield* sentTo(email), 5)
    }))
})
