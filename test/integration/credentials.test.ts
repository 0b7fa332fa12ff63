import { PgConnection } from "@effect/sql-pg"
import { assert, layer } from "@effect/vitest"
import { hashSync } from "@node-rs/argon2"
import { Effect, Fiber } from "effect"
import { ApiTest, countOf, eventually, fromAfar, type Member, owner, register, send } from "../layers/ApiTest.ts"
import { lockWatch } from "../layers/LockWatch.ts"
import { awaitMail, awaitToken, mailsTo, subjects, tokenIn } from "../layers/Mailbox.ts"
import { PgTest } from "../layers/PgTest.ts"

const newPassword = "another long enough passphrase"

const post = (path: string, body: object, token?: string) =>
  send({ method: "POST", path, body, headers: fromAfar(), ...(token === undefined ? {} : { token }) })
const forgot = (email: string) => post("/api/auth/password/forgot", { email })
const reset = (token: string, password = newPassword) => post("/api/auth/password/reset", { token, password })
const login = ({ email }: Member, password: string) => post("/api/auth/login", { email, password })
const me = (token: string) => Effect.map(send({ method: "GET", path: "/api/auth/me", token }), ({ status }) => status)
/** How many commands for mail still have to be worked. */
const settled = eventually(
  countOf("SELECT count(*) FROM queue.mail_commands WHERE state = 'pending'"),
  (waiting) => waiting === 0
)

layer(ApiTest.layer(), { timeout: "60 seconds", excludeTestServices: true })("credentials", (it) => {
  it.effect(
    "forgotten for an address that is unknown are answered as for a known one, and nobody is written to",
    () =>
      Effect.gen(function*() {
        const member = yield* register()
        const [known, unknown] = [yield* forgot(member.email), yield* forgot("nobody@example.com")]
        assert.deepStrictEqual([known.status, known.text], [202, ""])
        assert.deepStrictEqual([unknown.status, unknown.text], [known.status, known.text])
        const names = ({ headers }: typeof known) => [...headers.keys()].sort()
        assert.deepStrictEqual(names(unknown), names(known))
        yield* awaitMail(member.email, subjects.reset)
        yield* settled
        assert.lengthOf(yield* mailsTo("nobody@example.com", subjects.reset), 0)
      }),
    90_000
  )

  it.effect(
    "are reset once by what the mail says; every session ends, and the owner is told",
    () =>
      Effect.gen(function*() {
        const member = yield* register()
        for (let n = 0; n < 5; n++) yield* login(member, "not the right passphrase")
        assert.strictEqual((yield* login(member, member.password)).status, 429)
        yield* forgot(member.email)
        const token = yield* awaitToken(member.email, subjects.reset)
        const [first, second] = yield* Effect.all([reset(token), reset(token, "yet another passphrase")], {
          concurrency: 2
        })
        assert.deepStrictEqual([first.status, second.status].sort(), [204, 400])
        assert.strictEqual(yield* me(member.token), 401)
        const right = first.status === 204 ? newPassword : "yet another passphrase"
        // What others guessed at does not keep out who has the mailbox.
        assert.strictEqual((yield* login(member, right)).status, 200)
        assert.strictEqual((yield* login(member, member.password)).status, 401)
        yield* awaitMail(member.email, subjects.changed)
      }),
    90_000
  )

  it.effect(
    "are not reset by a token that is too old, for something else, or was followed by another reset",
    () =>
      Effect.gen(function*() {
        const member = yield* register()
        const verification = yield* awaitToken(member.email, subjects.verify)
        assert.strictEqual((yield* reset(verification)).status, 400)
        yield* forgot(member.email)
        yield* forgot(member.email)
        yield* awaitMail(member.email, subjects.reset, 2)
        const [one = "", other = ""] = (yield* mailsTo(member.email, subjects.reset)).map(tokenIn)
        assert.notStrictEqual(one, other)
        assert.strictEqual((yield* reset(one)).status, 204)
        assert.strictEqual((yield* reset(other)).status, 400)
        yield* forgot(member.email)
        const late = yield* awaitToken(member.email, subjects.reset, 3)
        yield* owner(`UPDATE identity.one_time_tokens SET issued_at = now() - interval '2 hours',
                           expires_at = now() - interval '1 second' WHERE user_id = '${member.id}' AND used_at IS NULL`)
        assert.strictEqual((yield* reset(late)).status, 400)
      }),
    90_000
  )

  it.effect(
    "are sent five times an hour at most, whoever asks from wherever, and nobody is told",
    () =>
      Effect.gen(function*() {
        const member = yield* register()
        const answers = yield* Effect.forEach(Array.from({ length: 8 }), () => forgot(member.email))
        assert.deepStrictEqual(new Set(answers.map(({ status }) => status)), new Set([202]))
        yield* settled
        assert.lengthOf(yield* mailsTo(member.email, subjects.reset), 5)
      }),
    90_000
  )

  it.effect("leave no token and no address where mail waits to be sent, and only hashes where tokens are kept", () =>
    Effect.gen(function*() {
      const member = yield* register()
      const token = yield* awaitToken(member.email, subjects.verify)
      const commands = (yield* owner("SELECT element::text FROM queue.mail_commands")).flat().join("\n")
      assert.include(commands, member.id)
      assert.notInclude(commands, member.email)
      assert.notInclude(commands, token)
      const kept = (yield* owner("SELECT t::text FROM identity.one_time_tokens t")).flat().join("\n")
      assert.notInclude(kept, token)
    }))

  it.effect("changed with the old one end every other session, and a wrong one counts as a failed login", () =>
    Effect.gen(function*() {
      const member = yield* register()
      const elsewhere = yield* login(member, member.password)
      const { tokens } = elsewhere.json
      const other = typeof tokens === "object" && tokens !== null && "accessToken" in tokens
        ? String(tokens.accessToken)
        : ""
      const change = (currentPassword: string) =>
        post("/api/auth/password/change", { currentPassword, newPassword }, member.token)
      assert.strictEqual((yield* change("not the right passphrase")).status, 401)
      assert.strictEqual((yield* change(member.password)).status, 204)
      assert.deepStrictEqual([yield* me(member.token), yield* me(other)], [200, 401])
      for (let n = 0; n < 4; n++) yield* change("not the right passphrase")
      assert.strictEqual((yield* change(newPassword)).status, 429)
    }))

  it.effect("refuses a new password for an account that was erased while it was hashed", () =>
    Effect.gen(function*() {
      const { id, password, token } = yield* register()
      const waits = yield* lockWatch
      const erasing = yield* PgConnection.make({ url: (yield* PgTest).ownerUrl })
      for (
        const statement of [
          "BEGIN",
          `UPDATE identity.users SET email = NULL, password_hash = NULL, disabled_at = now(), erased_at = now()
            WHERE id = '${id}'`
        ]
      ) yield* erasing.queryValues(statement, [])
      const changing = yield* Effect.forkChild(
        post("/api/auth/password/change", { currentPassword: password, newPassword }, token)
      )
      yield* eventually(waits("%password_hash%"), (is) => is)
      yield* erasing.queryValues("COMMIT", [])
      assert.strictEqual((yield* Fiber.join(changing)).status, 401)
    }).pipe(Effect.scoped))

  /** What a request comes to whose password is right when it is read, and reset before the request is done. */
  const whileReset = Effect.fnUntraced(function*(id: string, request: ReturnType<typeof post>) {
    const waits = yield* lockWatch
    const resetting = yield* PgConnection.make({ url: (yield* PgTest).ownerUrl })
    yield* resetting.queryValues("BEGIN", [])
    yield* resetting.queryValues(`UPDATE identity.users SET password_hash = '$argon2id$reset' WHERE id = '${id}'`, [])
    const requesting = yield* Effect.forkChild(request)
    yield* eventually(
      Effect.map(waits("%password_hash%"), (is) => is || requesting.pollUnsafe() !== undefined),
      (is) => is
    )
    yield* resetting.queryValues("COMMIT", [])
    return yield* Fiber.join(requesting)
  }, Effect.scoped)
  const hashOf = (id: string) =>
    Effect.map(owner(`SELECT password_hash FROM identity.users WHERE id = '${id}'`), (rows) => rows[0]?.[0])

  it.effect("open no session by a password that was reset while it was looked at", () =>
    Effect.gen(function*() {
      const member = yield* register()
      const answer = yield* whileReset(member.id, login(member, member.password))
      assert.deepInclude(answer.json, { status: 401, code: "InvalidCredentials" })
    }))

  it.effect("do not undo a reset: neither by a change that knew the old one, nor by renewing its hash", () =>
    Effect.gen(function*() {
      const member = yield* register()
      const change = { currentPassword: member.password, newPassword }
      const changed = yield* whileReset(member.id, post("/api/auth/password/change", change, member.token))
      assert.deepInclude(changed.json, { status: 401, code: "InvalidCredentials" })
      assert.strictEqual(yield* hashOf(member.id), "$argon2id$reset")
      const weak = hashSync(member.password, { memoryCost: 8192, timeCost: 1, parallelism: 1 })
      yield* owner(`UPDATE identity.users SET password_hash = '${weak}' WHERE id = '${member.id}'`)
      const answer = yield* whileReset(member.id, login(member, member.password))
      assert.deepInclude(answer.json, { status: 401, code: "InvalidCredentials" })
      assert.strictEqual(yield* hashOf(member.id), "$argon2id$reset")
    }))
})
