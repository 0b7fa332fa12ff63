import { SecureRandom } from "effect/crypto"
import type { IncomingMessage, Server, ServerResponse } from "node:http"
import type { Duplex } from "node:stream"
import { securityHeaders } from "../http/middleware/SecurityHeaders.ts"

const refusals = {
  400: { reason: "Bad Request", code: "MalformedHttp", title: "This is not a valid HTTP request" },
  405: { reason: "Method Not Allowed", code: "MethodNotAllowed", title: "This route does not take that method" },
  408: { reason: "Request Timeout", code: "RequestTimeout", title: "The request did not arrive in time" },
  417: { reason: "Expectation Failed", code: "ExpectationFailed", title: "The only expectation met is 100-continue" },
  431: { reason: "Request Header Fields Too Large", code: "HeadersTooLarge", title: "The headers may have 8192 bytes" }
} as const

const details = {
  400: "Nothing of it was done, and the connection is closed: where the next request begins is not known.",
  405: "This is no proxy: there is nothing to CONNECT to.",
  408: "Send head and body without a pause.",
  417: "Send the request without this Expect header.",
  431: "Send fewer or shorter headers."
} as const

const statusOf = (code: unknown): keyof typeof refusals =>
  code === "HPE_HEADER_OVERFLOW" ? 431 : code === "ERR_HTTP_REQUEST_TIMEOUT" ? 408 : 400

/** `/problems/malformed-http` for MalformedHttp. */
const typeOf = (code: string) => `/problems/${code.replaceAll(/(?!^)[A-Z]/g, "-$&").toLowerCase()}`

/** The instance is "/" where there is no path, or none that could be read. */
const answer = (status: keyof typeof refusals, url = "/") => {
  const { code, reason, title } = refusals[status]
  const requestId = SecureRandom.uuidV7Unsafe()
  const body = JSON.stringify({
    type: typeOf(code),
    title,
    status,
    detail: details[status],
    code,
    instance: url.startsWith("/") ? url.split("?", 1)[0] : "/",
    request_id: requestId,
    // The trace has no spans, as nothing was done.
    trace_id: requestId.replaceAll("-", "")
  })
  const headers: Record<string, string> = {
    ...securityHeaders,
    "x-request-id": requestId,
    "content-type": "application/problem+json",
    "content-length": String(Buffer.byteLength(body)),
    ...(status === 405 ? { allow: "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS" } : {}),
    connection: "close"
  }
  return { body, headers, reason }
}

const message = (status: keyof typeof refusals): string => {
  const { body, headers, reason } = answer(status)
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`)
  return [`HTTP/1.1 ${status} ${reason}`, ...lines, "", body].join("\r\n")
}

/** Answers a request whose body is not waited for any longer; its connection, where the rest may still come, is closed. */
export const refuseSlow = (request: IncomingMessage, response: ServerResponse): void => {
  if (response.headersSent) {
    request.socket.destroy()
    return
  }
  const { body, headers } = answer(408, request.url)
  response.writeHead(408, headers).end(body)
}

/**
 * What Node's parser refuses never becomes a request, so the edge cannot answer it. Node's own answer has no body and
 * none of our headers; this one is a problem like all others. A connection whose answer has begun is just closed.
 */
export const answerMalformed = (server: Server): void => {
  const answering = new WeakMap<Duplex, ServerResponse>()
  server.on("request", (request, response) => {
    answering.set(request.socket, response)
    response.once("close", () => answering.delete(request.socket))
  })
  server.on("checkExpectation", (request, response) => {
    const { body, headers } = answer(417, request.url)
    response.writeHead(417, headers).end(body)
  })
  // Node would close the connection without a word.
  server.on("connect", (_request, socket) => {
    socket.end(message(405), () => socket.destroy())
  })
  server.on("clientError", (error: NodeJS.ErrnoException, socket) => {
    if (error.code === "ECONNRESET" || !socket.writable || answering.get(socket)?.headersSent === true) {
      socket.destroy(error)
      return
    }
    socket.end(message(statusOf(error.code)), () => socket.destroy())
  })
}
