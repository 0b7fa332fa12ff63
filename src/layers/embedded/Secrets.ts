import { Effect, Redacted, Schema } from "effect"
import { generateKeyPairSync, randomBytes } from "node:crypto"
import { readFile, rename, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { bulkheads, roleUrl } from "../Pools.ts"

export class SecretsUnreadable extends Schema.TaggedError<SecretsUnreadable>()("SecretsUnreadable", {
  file: Schema.String,
  cause: Schema.Defect()
}) {
  override get message(): string {
    return `${this.file} cannot be used: ${
      String(this.cause)
    }. Put it back from a copy. Without it the data beside it is `
      + "of little use, so the other way is to delete the whole folder and to start afresh."
  }
}

const random = () => randomBytes(32).toString("base64url")

const make: Readonly<Record<string, () => string>> = {
  DATABASE_ROLES_SECRET: random,
  JWT_PRIVATE_KEY: () => generateKeyPairSync("ed25519").privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
  REFRESH_TOKEN_SECRET: random,
  ENCRYPTION_SECRET: random,
  UPLOAD_SECRET: random,
  SANDBOX_SECRET_KEY: random,
  SANDBOX_WEBHOOK_SECRET: random
}

// What each process gets to know. Whoever breaks out of the video process finds the key of its own role and of upload URLs:
// neither the owner's database, nor the wallet's role, nor the key that signs access tokens.
const known = {
  Migrate: { secrets: ["DATABASE_ROLES_SECRET"], roles: [] },
  Api: {
    secrets: [
      "JWT_PRIVATE_KEY",
      "REFRESH_TOKEN_SECRET",
      "ENCRYPTION_SECRET",
      "UPLOAD_SECRET",
      "SANDBOX_SECRET_KEY",
      "SANDBOX_WEBHOOK_SECRET"
    ],
    roles: ["identity", "wallet", "payments", "webhooks", "rewards", "videoApi"]
  },
  Video: { secrets: ["UPLOAD_SECRET"], roles: ["videoWorker"] },
  Sandbox: { secrets: ["SANDBOX_SECRET_KEY", "SANDBOX_WEBHOOK_SECRET"], roles: [] },
  Seed: { secrets: ["JWT_PRIVATE_KEY", "REFRESH_TOKEN_SECRET"], roles: ["identity"] }
} as const

export type ProgramName = keyof typeof known

/** The part of the secrets that is a process's own, with the connection strings of its roles. */
export const secretsOf = (
  program: ProgramName,
  secrets: Readonly<Record<string, string>>,
  owner: string
): Readonly<Record<string, string>> => {
  const rolesSecret = Redacted.make(secrets["DATABASE_ROLES_SECRET"] ?? "")
  return Object.fromEntries([
    ...known[program].secrets.map((name) => [name, secrets[name] ?? ""] as const),
    ...known[program].roles.map((role) => [bulkheads[role].variable, roleUrl(owner, rolesSecret, role).href] as const),
    ...(program === "Migrate" ? [["DATABASE_URL", owner] as const] : [])
  ])
}

const Secrets = Schema.fromJsonString(Schema.Record(Schema.String, Schema.String))

/**
 * The secrets of the embedded mode, by the names of their environment variables: generated once into `secrets.json`, which
 * only this user may read. One that a newer version adds is generated then; a variable that is set wins.
 */
export const embeddedSecrets = (home: string): Effect.Effect<Record<string, string>, SecretsUnreadable> =>
  Effect.tryPromise({
    try: async () => {
      const file = join(home, "secrets.json")
      const text = await readFile(file, "utf8").catch((cause: unknown) => {
        if (String(cause).includes("ENOENT")) return "{}"
        throw cause
      })
      const kept = Schema.decodeUnknownSync(Secrets)(text)
      const missing = Object.entries(make).filter(([name]) => kept[name] === undefined)
      const all = { ...kept, ...Object.fromEntries(missing.map(([name, generate]) => [name, generate()])) }
      if (missing.length > 0) {
        await writeFile(`${file}.new`, `${JSON.stringify(all, null, 2)}\n`, { mode: 0o600, flush: true })
        await rename(`${file}.new`, file)
      }
      const set = Object.keys(all).flatMap((name) => {
        const value = process.env[name]
        return value === undefined || value === "" ? [] : [[name, value] as const]
      })
      return { ...all, ...Object.fromEntries(set) }
    },
    catch: (cause) => new SecretsUnreadable({ file: join(home, "secrets.json"), cause })
  })
