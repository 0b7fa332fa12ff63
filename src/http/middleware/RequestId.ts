import { SecureRandom } from "effect/crypto"
import type { Headers } from "effect/http"

const acceptable = /^[A-Za-z0-9._-]{1,128}$/

/** The caller's `X-Request-Id` when it is harmless in headers and logs, else a fresh one. */
export const fromHeaders = (headers: Headers.Headers): string => {
  const given = headers["x-request-id"]
  return given !== undefined && acceptable.test(given) ? given : SecureRandom.uuidV7Unsafe()
}
