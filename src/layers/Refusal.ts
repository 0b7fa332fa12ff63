import { Predicate } from "effect"
import { Headers } from "effect/http"
import { IncomingMessage, Server, type ServerResponse } from "node:http"
import { Socket } from "node:net"
import type { WorkClass } from "../http/middleware/Admission.ts"
import * as Cors from "../http/middleware/Cors.ts"
import { accepted } from "../http/middleware/RequestId.ts"
import { securityHeaders } from "../http/middleware/SecurityHeaders.ts"
import { uuidV7 } from "../services/NewId.ts"

// A refusal must cost a small part of what it saves, so both forms are written by hand.

interface Refused {
  readonly url: string
  readonly requestId: unknown
  readonly origin: string | undefined
  readonly workClass: WorkClass
}

/** The problem, and the headers that differ between one refusal and the next. */
const compose = ({ origin, requestId: given, url, workClass }: Refused, corsOrigins: ReadonlyArray<string>) => {
  const fresh = uuidV7(Date.now())
  const requestId = accepted(given) ?? fresh
  const query = url.indexOf("?")
  const trace = fresh.replaceAll("-", "")
  const body = `{"type":"/problems/unavailable","title":"Temporarily unavailable","status":503,`
    + `"detail":"Too many requests are unanswered; those of class ${workClass} wait outside.","code":"Unavailable",`
    + `"retry_after":1,"instance":${JSON.stringify(query === -1 ? url : url.slice(0, query))},`
    // The trace has no spans: the line of whoever asks is found by it all the same.
    + `"request_id":"${requestId}","trace_id":"${trace}"}`
  const shared = corsOrigins.length === 0
    ? []
    : Object.entries(
      Cors.shared(
        { headers: Headers.fromRecordUnsafe(origin === undefined ? {} : { origin }) },
        corsOrigins,
        Cors.plainHttp,
        { headers: Headers.empty }
      ) ?? {}
    ).flat()
  return { body, headers: [...shared, "x-request-id", requestId, "content-length", String(Buffer.byteLength(body))] }
}

// A flat list is what Node writes fastest.
const fixedHeaders: ReadonlyArray<string> = [
  ...Object.entries(securityHeaders).flat(),
  "content-type",
  "application/problem+json",
  "retry-after",
  "1"
]

/** Refuses a request that Node has made into objects. */
export const refuse = (
  request: IncomingMessage,
  response: ServerResponse,
  workClass: WorkClass,
  corsOrigins: ReadonlyArray<string>
): void => {
  const { headers: { origin, "x-request-id": requestId }, url = "/" } = request
  const { body, headers } = compose({ url, requestId, origin, workClass }, corsOrigins)
  response.writeHead(503, [...fixedHeaders, ...headers]).end(body)
}

const lines = (headers: ReadonlyArray<string>): string => {
  let text = ""
  for (let at = 0; at + 1 < headers.length; at += 2) text += `${headers[at]}: ${headers[at + 1]}\r\n`
  return text
}

const head = `HTTP/1.1 503 Service Unavailable\r\n${lines(fixedHeaders)}connection: keep-alive\r\n`

let second = 0
let date = ""
/** The header of this second: to write a date costs as much as the rest of the head. */
const dateHeader = (millis: number): string => {
  if (Math.floor(millis / 1_000) === second) return date
  second = Math.floor(millis / 1_000)
  date = `date: ${new Date(millis).toUTCString()}\r\n`
  return date
}

const plain = /^[\x21-\x7e]+$/

/**
 * What of a request's headers a refusal has to know; undefined when one of them says that there is more to do than to
 * answer: a body to be taken, an expectation.
 */
const simple = (headers: ReadonlyArray<unknown>) => {
  let requestId: string | undefined
  let origin: string | undefined
  for (let at = 0; at + 1 < headers.length; at += 2) {
    const name = headers[at]
    const value = headers[at + 1]
    if (typeof name !== "string" || typeof value !== "string") return undefined
    // Their lengths tell most names apart, and comparing lengths costs nothing.
    const { length } = name
    if (length !== 6 && length !== 12 && length !== 14 && length !== 17) continue
    const lower = name.toLowerCase()
    if (lower === "expect" || lower === "content-length" || lower === "transfer-encoding") return undefined
    if (lower === "x-request-id") requestId = value
    if (lower === "origin") origin = value
  }
  return { requestId, origin }
}

/** Whether the connection has nothing to answer or to send before this request's answer, and stays open after it. */
const isFree = (server: Server, socket: Socket): boolean =>
  server.listening && socket.writable && socket.writableLength === 0
  // Node's answer in progress on this connection: those of pipelined requests must keep their order.
  && (!Predicate.hasProperty(socket, "_httpMessage") || socket._httpMessage == null)

/** What is used of Node's parser of a connection. */
interface Parser {
  incoming: unknown
  readonly socket: unknown
}

const isParser = (value: unknown): value is Parser =>
  Predicate.hasProperty(value, "incoming") && Predicate.hasProperty(value, "socket")

export interface Door {
  readonly corsOrigins: ReadonlyArray<string>
  /** The class of a request that is to be turned away now. */
  readonly judge: (method: string, url: string) => WorkClass | undefined
  readonly onRefused: (workClass: WorkClass) => void
}

// By server: Node uses a parser again for other connections, of other servers and of clients too.
const doors = new WeakMap<object, Door>()

let numberOfGet: unknown

/** Answers a request of which only the head was read; false when that is for Node to do. */
const answered = (parser: Parser, server: Server, url: string, headers: ReadonlyArray<unknown>): boolean => {
  const door = doors.get(server)
  const { socket } = parser
  if (door === undefined || !(socket instanceof Socket)) return false
  const workClass = door.judge("GET", url)
  if (workClass === undefined || !plain.test(url) || !isFree(server, socket)) return false
  const asked = simple(headers)
  if (asked === undefined) return false
  // What Node would do after its own answer, without which a connection that is only refused would stay for good.
  if (socket.timeout === undefined || socket.timeout < server.keepAliveTimeout) {
    socket.setTimeout(server.keepAliveTimeout)
  }
  parser.incoming = null
  const { body, headers: own } = compose({ ...asked, url, workClass }, door.corsOrigins)
  socket.write(`${head}${dateHeader(Date.now())}${lines(own)}\r\n${body}`, "latin1")
  door.onRefused(workClass)
  return true
}

const hooked = new WeakSet<object>()

const hook = (parser: Parser): void => {
  const key = Object.keys(parser).find((key) => {
    const held: unknown = Reflect.get(parser, key)
    return typeof held === "function" && held.name === "parserOnHeadersComplete"
  })
  const usual: unknown = key === undefined ? undefined : Reflect.get(parser, key)
  if (key === undefined || typeof usual !== "function") return
  // The arguments that Node's parser gives: versions, headers, method, URL, two of a client, upgrade, keep-alive.
  Reflect.set(parser, key, (...given: ReadonlyArray<unknown>): unknown => {
    const [major, minor, headers, method, url, , , upgrade, keepsAlive] = given
    const { socket } = parser
    const server: unknown = Predicate.hasProperty(socket, "server") ? socket.server : undefined
    if (
      numberOfGet !== undefined && method === numberOfGet && major === 1 && minor === 1 && upgrade === false
      && keepsAlive === true && typeof url === "string" && Array.isArray(headers) && server instanceof Server
      && answered(parser, server, url, headers)
    ) return 0
    const result: unknown = Reflect.apply(usual, parser, given)
    // How the parser numbers the methods is seen from what Node makes of one.
    if (numberOfGet === undefined && parser.incoming instanceof IncomingMessage && parser.incoming.method === "GET") {
      numberOfGet = method
    }
    return result
  })
}

/**
 * Refuses plain GETs, which are most of an overload, before Node makes any object for them: that is two fifths of what a
 * refusal costs. It stands on parts of Node that are not public. Where they are not as expected (another
 * version; a request with a body, of HTTP/1.0, behind another on its connection) nothing happens here and `refuse` has its turn.
 */
export const refuseEarly = (server: Server, door: Door): void => {
  doors.set(server, door)
  server.on("connection", (socket: object) => {
    const parser: unknown = Reflect.get(socket, "parser")
    if (!isParser(parser) || hooked.has(parser)) return
    hooked.add(parser)
    hook(parser)
  })
}
