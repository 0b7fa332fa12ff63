import { Effect } from "effect"
import { type Headers, HttpServerError, type HttpServerRequest } from "effect/http"
import type { HttpApiEndpoint } from "effect/http-api"
import { IncomingMessage } from "node:http"
import { InvalidRequest, UnsupportedMediaType } from "../../domain/Problem.ts"

const maxDepth = 32
const byteOrderMark = 0xfeff
const [quote, backslash, openBrace, closeBrace, openBracket, closeBracket] = [34, 92, 123, 125, 91, 93]

/**
 * What JSON may carry that nothing behind the edge can take: nesting that exhausts a recursive decoder, NUL, which
 * PostgreSQL refuses in text, and half a surrogate pair, which UTF-8 cannot express. One pass over the raw text, before
 * it is parsed. Returns what is wrong, or undefined.
 */
export const jsonFault = (text: string): string | undefined => {
  let depth = 0
  let inString = false
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (inString) {
      if (code === quote) inString = false
      else if (code === backslash) {
        if (text[at + 1] !== "u") {
          at++
          continue
        }
        const unit = Number.parseInt(text.slice(at + 2, at + 6), 16)
        if (unit === 0) return "The character U+0000 is not allowed in text"
        if (unit >= 0xdc00 && unit <= 0xdfff) return "A lone surrogate is not allowed in text"
        if (unit >= 0xd800 && unit <= 0xdbff) {
          if (!/^\\u[dD][c-fC-F]/.test(text.slice(at + 6, at + 10))) return "A lone surrogate is not allowed in text"
          at += 6
        }
        at += 5
      }
    } else if (code === quote) inString = true
    else if (code === openBrace || code === openBracket) {
      if (++depth > maxDepth) return `JSON may be nested ${maxDepth} levels deep at most`
    } else if (code === closeBrace || code === closeBracket) depth--
  }
  return undefined
}

const isJson = (contentType: string | undefined) => contentType === undefined || /[/+]json\b/i.test(contentType)

const unreadable = (request: HttpServerRequest.HttpServerRequest, cause: unknown) =>
  Effect.fail(
    new HttpServerError.HttpServerError({ reason: new HttpServerError.RequestParseError({ request, cause }) })
  )

/**
 * A body whose length was declared, and judged by the edge. The library's reader is made for bodies of any length:
 * it watches the stream with a listener for every way to end and shares its result by a fiber of its own, which cost more
 * than everything else that is done with a short body. Nor does this one cut the connection when it is given up: whoever
 * sends too slowly can still be told so.
 */
const received = <A>(
  request: HttpServerRequest.HttpServerRequest,
  source: IncomingMessage,
  decode: (body: Buffer) => A
) =>
  Effect.callback<A, HttpServerError.HttpServerError>((resume) => {
    const chunks: Array<Buffer> = []
    const stop = () => {
      source.off("data", onData).off("end", onEnd).off("error", onError).off("close", onClose)
    }
    const onData = (chunk: Buffer) => void chunks.push(chunk)
    const onEnd = () => {
      stop()
      const [first] = chunks
      resume(Effect.succeed(decode(chunks.length === 1 && first !== undefined ? first : Buffer.concat(chunks))))
    }
    const onError = (cause: unknown) => {
      stop()
      resume(unreadable(request, cause))
    }
    const onClose = () => onError(new Error("the body ended too early"))
    source.on("data", onData).on("end", onEnd).on("error", onError).on("close", onClose)
    return Effect.sync(stop)
  })

const utf8 = (body: Buffer): string => {
  const text = body.toString("utf8")
  return text.charCodeAt(0) === byteOrderMark ? text.slice(1) : text
}

const alone = (body: Buffer): ArrayBuffer => {
  const copy = new ArrayBuffer(body.length)
  body.copy(new Uint8Array(copy))
  return copy
}

/** The message itself, when its length was declared and nobody has to ask for its body. */
const declared = ({ headers, source }: HttpServerRequest.HttpServerRequest): IncomingMessage | undefined =>
  source instanceof IncomingMessage && headers["content-length"] !== undefined && headers["expect"] === undefined
    ? source
    : undefined

const textOf = (request: HttpServerRequest.HttpServerRequest): HttpServerRequest.HttpServerRequest["text"] => {
  const source = declared(request)
  return source === undefined
    ? Reflect.get(Object.getPrototypeOf(request), "text", request)
    : received(request, source, utf8)
}

/** The text, judged and kept: idempotency reads it, and the endpoint after it. */
const checked = (request: HttpServerRequest.HttpServerRequest): HttpServerRequest.HttpServerRequest["text"] => {
  let known: HttpServerRequest.HttpServerRequest["text"] | undefined
  return Effect.suspend(() => {
    const encoding = request.headers["content-encoding"]
    // Read as if it were not there, its bytes would be something else to us than to whoever heeds it.
    if (encoding !== undefined && encoding.toLowerCase() !== "identity") {
      return Effect.die(new UnsupportedMediaType({ detail: "A body is taken as it is, without a Content-Encoding." }))
    }
    return known ?? Effect.flatMap(textOf(request), (text) => {
      const fault = jsonFault(text)
      known = fault === undefined
        ? Effect.succeed(text)
        : Effect.die(new InvalidRequest({ errors: [{ pointer: "/body", detail: fault }] }))
      return known
    })
  })
}

/**
 * Sees to it that the request's text is checked when (and only when) somebody reads it: authentication still comes before
 * the body, and an upload that is streamed never passes here. The request itself is given the check: a wrapper around each
 * request cost more than the check.
 */
export const guard = (request: HttpServerRequest.HttpServerRequest): void => {
  if (request.method === "GET" || request.method === "HEAD" || !isJson(request.headers["content-type"])) return
  Object.defineProperty(request, "text", { value: checked(request) })
}

const bytes = (request: HttpServerRequest.HttpServerRequest): HttpServerRequest.HttpServerRequest["arrayBuffer"] => {
  const source = declared(request)
  return source === undefined
    ? request.arrayBuffer
    : Effect.flatMap(received(request, source, alone), (body) => {
      Object.defineProperty(request, "arrayBuffer", { value: Effect.succeed(body) })
      return Effect.succeed(body)
    })
}

/**
 * Takes in the body as the endpoint will ask for it, so that what follows need not wait for whoever sends it. Undefined when
 * there is none, and when the endpoint will refuse its media type unread.
 */
export const takeIn = (
  request: HttpServerRequest.HttpServerRequest,
  payload: HttpApiEndpoint.PayloadMap
): Effect.Effect<unknown, HttpServerError.HttpServerError> | undefined => {
  const { "content-length": length, "content-type": type, "transfer-encoding": coding } = request.headers
  if (request.method === "GET" || request.method === "HEAD") return undefined
  if ((length === undefined || length === "0") && coding === undefined) return undefined
  for (const { encoding } of payload.values()) if (encoding._tag === "Uint8Array") return bytes(request)
  return isJson(type) ? request.text : payload.size === 0 ? request.arrayBuffer : undefined
}

/**
 * Node takes the chunks of `gzip, chunked` apart and leaves the rest as it is: what it hands on would be other bytes than those
 * that whoever heeds the header sees.
 */
export const codingFault = (headers: Headers.Headers): InvalidRequest | undefined => {
  const coding = headers["transfer-encoding"]
  return coding === undefined || coding.toLowerCase() === "chunked" ? undefined : new InvalidRequest({
    errors: [{ pointer: "/headers/transfer-encoding", detail: "Expected chunked, and nothing else" }]
  })
}

/**
 * NUL in a path or query would reach SQL as text just as it would from a body. A semicolon or a hash ends a path for the router, and
 * for hardly anybody in front of it: what is filtered by path there would pass with one.
 */
export const urlFault = (url: string): InvalidRequest | undefined => {
  const query = url.indexOf("?")
  const end = url.search(/[;#]/)
  if (end !== -1 && (query === -1 || end < query)) {
    return new InvalidRequest({ errors: [{ pointer: "/path", detail: `The character ${url[end]} has to be escaped` }] })
  }
  const nul = url.indexOf("%00")
  if (nul === -1) return undefined
  const pointer = query !== -1 && nul > query ? "/query" : "/path"
  return new InvalidRequest({ errors: [{ pointer, detail: "The character U+0000 is not allowed in text" }] })
}
