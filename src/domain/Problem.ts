import { Schema } from "effect"
import { HttpApiError } from "effect/http-api"

/**
 * Every expected failure of Midnight is an RFC 9457 problem: a tagged error whose encoded form is
 * `application/problem+json`. The tag is the public `code` and never changes; own members are snake_case.
 * The HTTP edge completes each problem with `instance`, `request_id` and `trace_id`.
 */
export const Problem = HttpApiError.Problem

/** One rejected place of the input: an RFC 6901 pointer into `/body`, `/query`, `/path` or `/headers`, and what is allowed. */
export const InputIssue = Schema.Struct({ pointer: Schema.String, detail: Schema.String })

export class InvalidRequest extends Problem<InvalidRequest>()("InvalidRequest", {
  type: "/problems/invalid-request",
  status: 400,
  title: "The request is not valid"
}, { code: Schema.tag("InvalidRequest"), errors: Schema.Array(InputIssue) }) {}

export class Unauthorized extends Problem<Unauthorized>()("Unauthorized", {
  type: "/problems/unauthorized",
  status: 401,
  title: "A valid access token is required"
}, { code: Schema.tag("Unauthorized") }) {}

export class Forbidden extends Problem<Forbidden>()("Forbidden", {
  type: "/problems/forbidden",
  status: 403,
  title: "Your account lacks the role for this"
}, { code: Schema.tag("Forbidden") }) {}

/** Absent and not yours answer alike, so that ids cannot be probed. */
export class NotFound extends Problem<NotFound>()("NotFound", {
  type: "/problems/not-found",
  status: 404,
  title: "There is no such thing here"
}, { code: Schema.tag("NotFound") }) {}

export class MethodNotAllowed extends Problem<MethodNotAllowed>()("MethodNotAllowed", {
  type: "/problems/method-not-allowed",
  status: 405,
  title: "This route does not take that method"
}, { code: Schema.tag("MethodNotAllowed") }) {}

export class PayloadTooLarge extends Problem<PayloadTooLarge>()("PayloadTooLarge", {
  type: "/problems/payload-too-large",
  status: 413,
  title: "The body is too large"
}, { code: Schema.tag("PayloadTooLarge"), limit_bytes: Schema.Int }) {}

export class UnsupportedMediaType extends Problem<UnsupportedMediaType>()("UnsupportedMediaType", {
  type: "/problems/unsupported-media-type",
  status: 415,
  title: "The body has a media type that this route does not take"
}, { code: Schema.tag("UnsupportedMediaType") }) {}

export class TooManyRequests extends Problem<TooManyRequests>()("TooManyRequests", {
  type: "/problems/too-many-requests",
  status: 429,
  title: "Too many requests"
}, {
  code: Schema.tag("TooManyRequests"),
  retry_after: Schema.Int,
  /** The limit that was met, by its name in `RateLimit-Policy`. */
  policy: Schema.optionalKey(Schema.String)
}) {}

export class InternalError extends Problem<InternalError>()("InternalError", {
  type: "/problems/internal-error",
  status: 500,
  title: "Something went wrong on our side"
}, { code: Schema.tag("InternalError") }) {}

/** A part of the system cannot answer now; nothing was done. `retry_after` is in seconds. */
export class Unavailable extends Problem<Unavailable>()("Unavailable", {
  type: "/problems/unavailable",
  status: 503,
  title: "Temporarily unavailable"
}, { code: Schema.tag("Unavailable"), retry_after: Schema.Int }) {}

/** What is answered where a connection speaks no HTTP that anybody could route. */
export class MalformedHttp extends Problem<MalformedHttp>()("MalformedHttp", {
  type: "/problems/malformed-http",
  status: 400,
  title: "This is not a valid HTTP request"
}, { code: Schema.tag("MalformedHttp") }) {}

export class RequestTimeout extends Problem<RequestTimeout>()("RequestTimeout", {
  type: "/problems/request-timeout",
  status: 408,
  title: "The request did not arrive in time"
}, { code: Schema.tag("RequestTimeout") }) {}

export class ExpectationFailed extends Problem<ExpectationFailed>()("ExpectationFailed", {
  type: "/problems/expectation-failed",
  status: 417,
  title: "The only expectation met is 100-continue"
}, { code: Schema.tag("ExpectationFailed") }) {}

export class HeadersTooLarge extends Problem<HeadersTooLarge>()("HeadersTooLarge", {
  type: "/problems/headers-too-large",
  status: 431,
  title: "The headers may have 8192 bytes"
}, { code: Schema.tag("HeadersTooLarge") }) {}

/** A refusal of the HTTP library for which there is no problem of its own; its status is that of the answer. */
export class Refused extends Problem<Refused>()("Refused", {
  type: "/problems/refused",
  status: 400,
  title: "The request was refused"
}, { code: Schema.tag("Refused") }) {}
