import { Cause, Effect, Option, Schema } from "effect"
import {
  Headers,
  HttpServerError,
  type HttpServerRequest,
  HttpServerRespondable,
  HttpServerResponse
} from "effect/http"
import { HttpApiError } from "effect/http-api"
import {
  InternalError,
  InvalidRequest,
  MethodNotAllowed,
  NotFound,
  PayloadTooLarge,
  Unavailable,
  UnsupportedMediaType
} from "../../domain/Problem.ts"
import { invalidRequest } from "./InputIssues.ts"

export interface Surroundings {
  readonly request: HttpServerRequest.HttpServerRequest
  /** Value of `Allow`, when the path exists under another method. */
  readonly allow: string | undefined
  readonly maxBodyBytes: number
  readonly requestId: string
  readonly traceId: string | undefined
}

export const contentType = "application/problem+json"
const Members = Schema.fromJsonString(Schema.Record(Schema.String, Schema.Json))
type Members = typeof Members.Type

export const payloadTooLarge = (limit: number): PayloadTooLarge =>
  new PayloadTooLarge({ limit_bytes: limit, detail: `The body of this route may have ${limit} bytes at most.` })

const notFound = ({ allow, request }: Surroundings) =>
  allow === undefined
    ? new NotFound({ detail: "No route has this path." })
    : new MethodNotAllowed({ detail: `${request.method} is not allowed here; ${allow} are.` })

const unreadable = () => new InvalidRequest({ errors: [{ pointer: "/body", detail: "The body could not be read" }] })

/** The problem that a failure or defect stands for; none when it is our fault and the cause belongs in the log. */
const expected = (error: unknown, around: Surroundings): HttpServerRespondable.Respondable | undefined => {
  if (HttpApiError.HttpApiSchemaError.is(error)) {
    return error.kind === "Body" || error.kind === "ResponseHeaders"
      ? undefined
      : invalidRequest(error.kind, error.cause)
  }
  if (HttpApiError.HttpApiPayloadTooLarge.is(error)) return payloadTooLarge(around.maxBodyBytes)
  if (HttpServerError.isHttpServerError(error)) {
    switch (error.reason._tag) {
      case "RouteNotFound":
        return notFound(around)
      case "RequestParseError":
        return error.reason.reason === "BodyTooLarge" ? payloadTooLarge(around.maxBodyBytes) : unreadable()
      case "InternalError":
      case "ResponseError":
        return undefined
    }
  }
  return HttpServerRespondable.isRespondable(error) ? error : undefined
}

/**
 * The answer to a request whose handler failed, died or was interrupted. A defect is told to the log, with its cause,
 * and to the caller only as `InternalError`.
 */
export const fromCause = Effect.fnUntraced(function*(cause: Cause.Cause<unknown>, around: Surroundings) {
  for (const reason of cause.reasons) {
    if (reason._tag === "Interrupt") continue
    const error = reason._tag === "Fail" ? reason.error : reason.defect
    if (HttpServerResponse.isHttpServerResponse(error)) return error
    const problem = expected(error, around)
    if (problem !== undefined) return yield* HttpServerRespondable.toResponse(problem)
  }
  if (Cause.hasInterruptsOnly(cause)) {
    const abort = cause.reasons.some((reason) => reason.annotations.has(HttpServerError.ClientAbort.key))
    return abort
      ? HttpServerResponse.empty({ status: 499 })
      : yield* HttpServerRespondable.toResponse(
        new Unavailable({ retry_after: 1, detail: "The server is shutting down." })
      )
  }
  yield* Effect.logError("The request failed with a defect", cause)
  return yield* HttpServerRespondable.toResponse(new InternalError({}))
})

/** Effect answers some refusals with an empty or plain text body; those are given the problem of their status. */
const fromStatus = (status: number, around: Surroundings): Effect.Effect<HttpServerResponse.HttpServerResponse> => {
  switch (status) {
    case 404:
      return HttpServerRespondable.toResponse(notFound(around))
    case 413:
      return HttpServerRespondable.toResponse(payloadTooLarge(around.maxBodyBytes))
    case 415:
      return HttpServerRespondable.toResponse(
        new UnsupportedMediaType({ detail: "This route takes a body of Content-Type application/json." })
      )
    case 500:
      return HttpServerRespondable.toResponse(new InternalError({}))
    default:
      return Effect.succeed(HttpServerResponse.jsonUnsafe(
        { type: "/problems/refused", status, title: "The request was refused", code: "Refused" },
        { status, contentType }
      ))
  }
}

const mediaType = (response: HttpServerResponse.HttpServerResponse) =>
  response.headers["content-type"] ?? (response.body._tag === "Uint8Array" ? response.body.contentType : "")

const isBare = (response: HttpServerResponse.HttpServerResponse) =>
  response.body._tag === "Empty" || mediaType(response).startsWith("text/plain")

const bodyText = ({ body }: HttpServerResponse.HttpServerResponse): string =>
  body._tag === "Uint8Array" ? body.text ?? new TextDecoder().decode(body.body) : ""

// What the status obliges to send beside the body, where the handler did not already say it.
const obligations = (status: number, members: Members, around: Surroundings): Record<string, string> => ({
  ...(status === 401 ? { "www-authenticate": "Bearer" } : {}),
  ...(status === 405 && around.allow !== undefined ? { allow: around.allow } : {}),
  ...(typeof members["retry_after"] === "number" ? { "retry-after": String(members["retry_after"]) } : {})
})

export interface Completed {
  readonly response: HttpServerResponse.HttpServerResponse
  /** The problem's code, for the span and the log. */
  readonly code: string | undefined
}

/** Gives every refusal, whoever made it, the members that only the edge knows and the headers its status asks for. */
export const complete = Effect.fnUntraced(function*(
  given: HttpServerResponse.HttpServerResponse,
  around: Surroundings
): Effect.fn.Return<Completed> {
  if (given.status < 400 || given.status === 499) return { response: given, code: undefined }
  const problem = isBare(given) ? yield* fromStatus(given.status, around) : given
  if (!mediaType(problem).startsWith(contentType)) return { response: given, code: undefined }
  const parsed = Schema.decodeUnknownOption(Members)(bodyText(problem))
  if (Option.isNone(parsed)) return { response: given, code: undefined }
  const members = {
    // A problem without more to say still has the member that clients show.
    detail: parsed.value["title"] ?? null,
    ...parsed.value,
    instance: around.request.url.split("?", 1)[0] ?? "/",
    request_id: around.requestId,
    ...(around.traceId === undefined ? {} : { trace_id: around.traceId })
  }
  const response = HttpServerResponse.jsonUnsafe(members, { status: given.status, contentType }).pipe(
    HttpServerResponse.setHeaders(obligations(given.status, parsed.value, around)),
    HttpServerResponse.setHeaders(Headers.removeMany(given.headers, ["content-type", "content-length"]))
  )
  return { response, code: String(parsed.value["code"] ?? given.status) }
})
