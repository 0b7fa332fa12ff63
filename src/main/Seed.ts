import { Effect, Redacted, Schema } from "effect"
import { randomBytes } from "node:crypto"
import { readFile, rename, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { Email } from "../domain/Identity.ts"
import type { Role } from "../domain/Principal.ts"
import * as Settings from "../layers/Config.ts"
import { IdentityServices } from "../layers/IdentityLive.ts"
import { runCommand } from "../layers/ProcessMain.ts"
import { Identity } from "../services/Identity.ts"
import { expect } from "./demo/Client.ts"
import { openCampaign, signIn } from "./demo/Members.ts"

const DemoUser = Schema.Struct({
  role: Schema.Literals(["admin", "sponsor", "reviewer", "member"]),
  email: Email,
  password: Schema.String
})
const DemoUsers = Schema.fromJsonString(Schema.Array(DemoUser))

// example.com is reserved for this: no mail to these addresses reaches anyone.
const wanted = [
  ["admin", "admin@example.com"],
  ["sponsor", "sponsor@example.com"],
  ["reviewer", "reviewer@example.com"],
  ["member", "first.member@example.com"],
  ["member", "second.member@example.com"]
] as const

/** The users of `demo.json`; on the first start of a home they are made up, with passwords nobody else has. */
const demoUsers = (file: string) =>
  Effect.promise(() => readFile(file, "utf8").catch(() => undefined)).pipe(
    Effect.flatMap((text) =>
      text === undefined
        ? Effect.promise(async () => {
          const users = wanted.map(([role, email]) => ({
            role,
            email: Email.make(email),
            password: randomBytes(18).toString("base64url")
          }))
          await writeFile(`${file}.new`, JSON.stringify(users, null, 2), { mode: 0o600 })
          await rename(`${file}.new`, file)
          return users
        })
        : Schema.decodeEffect(DemoUsers)(text)
    )
  )

const rolesOf = (role: Role): ReadonlyArray<Role> => role === "member" ? ["member"] : ["member", role]

const Campaigns = Schema.Struct({ items: Schema.Array(Schema.Struct({ status: Schema.String })) })

/** Makes sure the demo users exist and the sponsor has a campaign that pays: through the HTTP API, as a sponsor would. */
const seed = Effect.gen(function*() {
  const home = yield* Settings.home
  const port = yield* Settings.port("PORT", 3000)
  const users = yield* demoUsers(join(home, "demo.json"))
  const identity = yield* Identity
  yield* identity.seed(users.map(({ email, password, role }) => ({
    email,
    password: Redacted.make(password),
    displayName: `Demo ${role}`,
    roles: rolesOf(role)
  })))

  const sponsor = users.find((user) => user.role === "sponsor")
  if (sponsor === undefined) return
  const api = `http://127.0.0.1:${port}`
  const member = yield* signIn(api, sponsor)
  const { body } = yield* expect(`${api}/api/campaigns`, 200, Campaigns, { token: member.token })
  if (body.items.some((campaign) => campaign.status === "active")) return
  yield* openCampaign(api, member, {
    title: "Show us your morning",
    brief: "Film ten seconds of how your morning begins. Sound on, please.",
    reward: 50_000,
    slots: 20,
    perMember: 5
  })
})

runCommand("seed", Effect.provide(seed, IdentityServices))
