import type { Headers } from "effect/http"
import { uuidV7 } from "../../services/NewId.ts"

const acceptable = /^[A-Za-z0-9._-]{1,128}$/

/** The caller's `X-Request-Id` when it is harmless in headers and logs. */
export const accepted = (given: unknown): string | undefined =>
  typeof given === "string" && acceptable.test(given) ? given : undefined

/** The same, or a fresh one of that moment. */
export const fromHeaders = (headers: Headers.Headers, millis: number): string =>
  accepted(headers["x-request-id"]) ?? uuidV7(millis)
