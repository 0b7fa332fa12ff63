import { Redacted } from "effect"
import { createHash, createHmac, randomBytes } from "node:crypto"

/** 256 random bits. What is stored is only their SHA-256, so a stolen table signs nobody in. */
export const fresh = (): Redacted.Redacted<string> => Redacted.make(randomBytes(32).toString("base64url"))

export const hashOf = (token: Redacted.Redacted<string>): Uint8Array =>
  createHash("sha256").update(Redacted.value(token)).digest()

/**
 * The token that follows: an HMAC of the spent one, so that a client whose answer was lost is given the same successor
 * again without any token being stored.
 */
export const successorOf = (
  token: Redacted.Redacted<string>,
  secret: Redacted.Redacted<string>
): Redacted.Redacted<string> =>
  Redacted.make(createHmac("sha256", Redacted.value(secret)).update(Redacted.value(token)).digest("base64url"))
