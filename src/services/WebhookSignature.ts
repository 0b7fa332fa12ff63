import { Redacted } from "effect"
import { createHmac, randomBytes } from "node:crypto"

const prefix = "whsec_"

/** A fresh secret: 256 bits, as Standard Webhooks writes them. */
export const freshSecret = (): Redacted.Redacted<string> =>
  Redacted.make(`${prefix}${randomBytes(32).toString("base64")}`)

/** The headers of one attempt by Standard Webhooks: each secret signs the id, the second and the very bytes of the body. */
export const signedHeaders = (
  secrets: ReadonlyArray<Redacted.Redacted<string>>,
  { body, id, seconds }: { readonly id: string; readonly seconds: number; readonly body: string }
): Readonly<Record<string, string>> => ({
  "webhook-id": id,
  "webhook-timestamp": String(seconds),
  "webhook-signature": secrets.map((secret) => {
    const key = Buffer.from(Redacted.value(secret).slice(prefix.length), "base64")
    return `v1,${createHmac("sha256", key).update(`${id}.${seconds}.${body}`).digest("base64")}`
  }).join(" ")
})

/** The secret in clear, for the one answer that shows it. */
export const shown = (secret: Redacted.Redacted<string>): string => Redacted.value(secret)
