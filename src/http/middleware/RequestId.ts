import type { Headers } from "effect/http"
import { uuidV7 } from "../../services/NewId.ts"

const acceptable = /^[A-Za-z0-9._-]{1,128}$/

/** The caller's `X-Request-Id` when it is harmless in headers and logs, else a fresh one of that moment. */
export const orFresh = (given: unknown, millis: number): string =>
  typeof given === "string" && acceptable.test(given) ? given : uuidV7(millis)

export const fromHeaders = (headers: Headers.Headers, millis: number): string =>
  orFresh(headers["x-request-id"], millis)
