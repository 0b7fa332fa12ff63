import { Context, Effect, Layer, Redacted } from "effect"
import { createCipheriv, createDecipheriv, createHash, hkdfSync, randomBytes } from "node:crypto"

// version (1) ‖ id of the key (4) ‖ nonce (12) ‖ tag (16) ‖ ciphertext
const version = 1
const keyIdBytes = 4
const nonceBytes = 12
const tagBytes = 16
const headBytes = 1 + keyIdBytes + nonceBytes + tagBytes

interface Key {
  readonly id: Buffer
  readonly bytes: Buffer
}

const keyOf = (secret: Redacted.Redacted<string>): Key => {
  const bytes = Buffer.from(hkdfSync("sha256", Redacted.value(secret), "", "midnight-sealed", 32))
  return { bytes, id: createHash("sha256").update(bytes).digest().subarray(0, keyIdBytes) }
}

/**
 * What the database must keep but must not be able to read: AES-256-GCM under a key derived from ENCRYPTION_SECRET. `place` says
 * where a value belongs (`webhook-endpoint:<id>`) and is authenticated with it, so that one that was copied to another row
 * does not open there.
 */
export class Sealed extends Context.Service<Sealed, {
  seal(value: Redacted.Redacted<string>, place: string): Effect.Effect<Uint8Array>
  /** One that does not open is a defect: it was tampered with, or its secret was taken away before it was sealed anew. */
  open(sealed: Uint8Array, place: string): Effect.Effect<Redacted.Redacted<string>>
}>()("midnight/services/Sealed") {
  /** Seals under `current`; opens what any of them sealed. */
  static readonly layer = (secrets: {
    readonly current: Redacted.Redacted<string>
    readonly previous: ReadonlyArray<Redacted.Redacted<string>>
  }) =>
    Layer.sync(Sealed, () => {
      const current = keyOf(secrets.current)
      const keys = [current, ...secrets.previous.map(keyOf)]

      const seal = (value: Redacted.Redacted<string>, place: string) =>
        Effect.sync(() => {
          const nonce = randomBytes(nonceBytes)
          const cipher = createCipheriv("aes-256-gcm", current.bytes, nonce).setAAD(Buffer.from(place))
          const text = Buffer.concat([cipher.update(Redacted.value(value), "utf8"), cipher.final()])
          return new Uint8Array(Buffer.concat([Buffer.of(version), current.id, nonce, cipher.getAuthTag(), text]))
        })

      const open = (sealed: Uint8Array, place: string) =>
        Effect.suspend(() => {
          const bytes = Buffer.from(sealed)
          const key = keys.find(({ id }) => id.equals(bytes.subarray(1, 1 + keyIdBytes)))
          if (bytes[0] !== version || bytes.length < headBytes || key === undefined) {
            return Effect.die(new Error("A sealed value is of no version and no key that is known here"))
          }
          const nonce = bytes.subarray(1 + keyIdBytes, headBytes - tagBytes)
          const decipher = createDecipheriv("aes-256-gcm", key.bytes, nonce, { authTagLength: tagBytes })
            .setAAD(Buffer.from(place))
            .setAuthTag(bytes.subarray(headBytes - tagBytes, headBytes))
          return Effect.sync(() =>
            Redacted.make(Buffer.concat([decipher.update(bytes.subarray(headBytes)), decipher.final()]).toString())
          )
        })

      return Sealed.of({ seal, open })
    })
}
