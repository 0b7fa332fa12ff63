import type { Headers } from "effect/http"
import { uuidV7 } from "../../services/NewId.ts"

const acceptable = /^[A-Za-z0-9._-]{1,128}$/

/** The caller's `X-Request-Id` when it is harmless in headers and logs, else a fresh one of that moment. */
export const fromHeaders = (headers: Headers.Headers, millis: number): string => {
  const given = headers["x-request-id"]
  return given !== undefined && acceptable.test(given) ? given : uuidV7(millis)
}
