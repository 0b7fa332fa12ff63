import { Clock, Effect, Result } from "effect"
import { Hex } from "effect/encoding"
import { WebhookForged } from "../domain/Payments.ts"
import type { SignatureProof } from "../services/Gateway.ts"

/** How old, or how far ahead, a signature may be: an event that was recorded on the wire cannot be replayed later. */
const toleranceSeconds = 300
const mostTags = 8

const hex = /^[0-9a-f]{64}$/

/**
 * The signature scheme `t=<unix seconds>,v1=<hex>[,v1=…]` over `t.rawBody`, as Stripe and the sandbox send it. Schemes
 * other than v1 are ignored. Reads the header and the clock; comparing is VerifiedEvent's business.
 */
export const readTimestamped = Effect.fnUntraced(function*(
  given: Pick<SignatureProof, "provider" | "keys"> & {
    readonly header: string | undefined
    readonly rawBody: Uint8Array
  }
): Effect.fn.Return<SignatureProof, WebhookForged> {
  const { header, keys, provider, rawBody } = given
  if (header === undefined || header.length > 2_048) {
    return yield* new WebhookForged({ detail: "The signature header is missing or malformed." })
  }
  let timestamp: string | undefined
  const tags: Array<Uint8Array> = []
  for (const part of header.split(",")) {
    const [scheme = "", value = ""] = part.trim().split("=", 2)
    if (scheme === "t" && /^\d{1,12}$/.test(value)) timestamp = value
    if (scheme !== "v1" || !hex.test(value) || tags.length === mostTags) continue
    const tag = Hex.decode(value)
    if (Result.isSuccess(tag)) tags.push(tag.success)
  }
  if (timestamp === undefined || tags.length === 0) {
    return yield* new WebhookForged({ detail: "The signature header is missing or malformed." })
  }
  const now = (yield* Clock.currentTimeMillis) / 1_000
  if (Math.abs(now - Number(timestamp)) > toleranceSeconds) {
    return yield* new WebhookForged({ detail: `The event was not signed within the last ${toleranceSeconds} s.` })
  }
  const prefix = new TextEncoder().encode(`${timestamp}.`)
  const signed = new Uint8Array(prefix.length + rawBody.length)
  signed.set(prefix)
  signed.set(rawBody, prefix.length)
  return { provider, keys, tags, signed, body: new TextDecoder().decode(rawBody) }
})
