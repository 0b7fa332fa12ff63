import { assert, layer } from "@effect/vitest"
import { Effect, Layer, Logger } from "effect"
import { HttpRouter, HttpServerResponse } from "effect/http"
import { OpenApi } from "effect/http-api"
import { CurrentRequest } from "../../src/domain/Request.ts"
import { Api } from "../../src/http/Api.ts"
import { catalogue } from "../../src/http/ProblemCatalogue.ts"
import { serveHttp } from "../../src/layers/HttpServer.ts"
import { raw, send, Shop } from "../layers/Shop.ts"

// What fetch will not send: requests that two servers in a row may read differently, or that keep one busy for nothing.

const body = "{\"item\":\"tea\",\"amount\":1}"
const order = (headers: string, text = body) => `POST /orders HTTP/1.1\r\nhost: x\r\n${headers}\r\n\r\n${text}`
const json = "content-type: application/json\r\nconnection: close"
const length = `content-length: ${body.length}`
const chunk = (text: string, extension = "") => `${text.length.toString(16)}${extension}\r\n${text}\r\n`

const statuses = (answer: string) => [...answer.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status))

const meanings = catalogue(OpenApi.fromApi(Api))

/** One answer, a problem of that status, with the headers that every answer has; and the connection is closed. */
const isRefused = (answer: string, status: number, name: string) => {
  assert.deepStrictEqual(statuses(answer), [status], `${name}: ${answer.slice(0, 200)}`)
  assert.include(answer, "application/problem+json", name)
  assert.include(answer, "x-content-type-options: nosniff", name)
  assert.include(answer, "x-request-id: ", name)
  const { code, detail, instance, request_id: requestId, title, trace_id: traceId, type } = JSON.parse(
    answer.slice(answer.indexOf("\r\n\r\n") + 4)
  )
  const meaning = meanings.get(String(type).replace("/problems/", ""))
  assert.deepStrictEqual(
    [type, title, code, status],
    [meaning?.type, meaning?.title, meaning?.code, meaning?.status],
    name
  )
  assert.isAtLeast(String(detail).length, 10, name)
  assert.match(String(instance), /^[^?]+$/, name)
  assert.include(answer, `x-request-id: ${requestId}`, name)
  assert.match(String(traceId), /^[0-9a-f]{32}$/, name)
}

layer(Shop, { excludeTestServices: true })("the HTTP edge, attacked", (it) => {
  it.effect("reads no request whose end is in doubt, and nothing that follows it", () =>
    Effect.gen(function*() {
      const smuggled = `${chunk("")}GET /page HTTP/1.1\r\nhost: x\r\n\r\n`
      const doubtful = {
        "a length and chunks": order(`${json}\r\ncontent-length: 4\r\ntransfer-encoding: chunked`, smuggled),
        "chunks and a length": order(`${json}\r\ntransfer-encoding: chunked\r\ncontent-length: 4`, smuggled),
        "two lengths": order(`${json}\r\n${length}\r\ncontent-length: 1`),
        "the same length twice": order(`${json}\r\n${length}\r\n${length}`),
        "a signed length": order(`${json}\r\ncontent-length: +5`),
        "a negative length": order(`${json}\r\ncontent-length: -1`),
        "a length in hexadecimal": order(`${json}\r\ncontent-length: 0x10`),
        "a length beyond all numbers": order(`${json}\r\ncontent-length: 99999999999999999999`),
        "an unknown coding": order(`${json}\r\ntransfer-encoding: xchunked`, smuggled),
        "chunked before another coding": order(`${json}\r\ntransfer-encoding: chunked, gzip`, smuggled),
        "a space before the colon": order(`${json}\r\ntransfer-encoding : chunked`, smuggled),
        "a folded header": order(`${json}\r\nx-a: 1\r\n transfer-encoding: chunked`, smuggled),
        "a line that ends with LF alone": order(`${json}\ntransfer-encoding: chunked`, smuggled),
        "NUL in a header": order(`${json}\r\nx-a: \0`),
        "a chunk without a size": order(`${json}\r\ntransfer-encoding: chunked`, `xyz\r\n${body}\r\n0\r\n\r\n`),
        "a size beyond all numbers": order(`${json}\r\ntransfer-encoding: chunked`, `${"f".repeat(17)}\r\n${body}`),
        "an extension without end": order(
          `${json}\r\ntransfer-encoding: chunked`,
          chunk(body, `;${"x".repeat(20_000)}`)
        ),
        "a NUL in the path": "GET /pa\0ge HTTP/1.1\r\nhost: x\r\n\r\n",
        "another protocol": "GET /page SPDY/3\r\nhost: x\r\n\r\n",
        "a version to come": "GET /page HTTP/3.0\r\nhost: x\r\n\r\n",
        "the preface of HTTP/2": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "an invented method": "BREW /page HTTP/1.1\r\nhost: x\r\n\r\n",
        "a TLS hello": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
      }
      for (const [name, request] of Object.entries(doubtful)) isRefused(yield* raw(request), 400, name)
    }))

  it.effect("refuses a header twice that may be there once: whoever stands in front may have read the other one", () =>
    Effect.gen(function*() {
      for (
        const header of ["host: y", "Authorization: Bearer a\r\nauthorization: Bearer b", "content-type: text/plain"]
      ) {
        const answer = yield* raw(order(`${json}\r\n${length}\r\n${header}`))
        isRefused(answer, 400, header)
        assert.include(answer, "/headers/", header)
      }
    }))

  it.effect("answers what is unusual and yet HTTP as what it asks for", () =>
    Effect.gen(function*() {
      const close = "connection: close\r\n\r\n"
      const unusual: ReadonlyArray<readonly [name: string, request: string, status: number]> = [
        [
          "chunks, extensions and a trailer",
          order(`${json}\r\ntransfer-encoding: chunked`, `${chunk(body, ";a=b")}0\r\nx-sum: 1\r\n\r\n`),
          200
        ],
        ["HTTP/1.0", `GET /page HTTP/1.0\r\nhost: x\r\n\r\n`, 200],
        ["HTTP/1.0 without a host", "GET /page HTTP/1.0\r\n\r\n", 400],
        ["a whole URL", `GET http://x/page HTTP/1.1\r\nhost: x\r\n${close}`, 200],
        ["a URL of somebody else", `GET http://evil.example/orders/NOPE HTTP/1.1\r\nhost: x\r\n${close}`, 400],
        ["an asterisk", `OPTIONS * HTTP/1.1\r\nhost: x\r\n${close}`, 404],
        ["no slash", `GET page HTTP/1.1\r\nhost: x\r\n${close}`, 400],
        ["TRACE", `TRACE /page HTTP/1.1\r\nhost: x\r\n${close}`, 405],
        ["CONNECT", `CONNECT evil.example:443 HTTP/1.1\r\nhost: x\r\n${close}`, 405],
        ["an expectation of tea", `GET /page?a=b HTTP/1.1\r\nhost: x\r\nexpect: tea\r\n${close}`, 417],
        [
          "a wish to change the protocol",
          `GET /page HTTP/1.1\r\nhost: x\r\nconnection: close, upgrade\r\nupgrade: h2c\r\n\r\n`,
          200
        ],
        ["five hundred headers", `GET /page HTTP/1.1\r\nhost: x\r\n${"a: b\r\n".repeat(500)}${close}`, 200],
        ["a query that fills the head", `GET /page?${"a=b&".repeat(1_900)} HTTP/1.1\r\nhost: x\r\n${close}`, 200],
        ["a query that is too long", `GET /page?${"a=b&".repeat(2_100)} HTTP/1.1\r\nhost: x\r\n${close}`, 431],
        ["UTF-8 in an id", `GET /orders/%F0%9F%98%80 HTTP/1.1\r\nhost: x\r\n${close}`, 400],
        ["a body that is compressed", order(`${json}\r\ncontent-encoding: gzip\r\n${length}`), 415],
        ["a body where none belongs", `GET /page HTTP/1.1\r\nhost: x\r\n${length}\r\n${close}${body}`, 200]
      ]
      for (const [name, request, status] of unusual) {
        const answer = yield* raw(request)
        assert.deepStrictEqual(statuses(answer), [status], `${name}: ${answer.slice(0, 300)}`)
        if (status >= 400) isRefused(answer, status, name)
        assert.strictEqual(/^allow: \S/m.test(answer), status === 405, name)
      }
    }))

  it.effect("answers bytes of UTF-8 in a path that should have been escaped with a problem", () =>
    Effect.gen(function*() {
      const answer = yield* raw(Buffer.from("GET /orders/é😀 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"))
      isRefused(answer, 400, "UTF-8")
    }))

  it.effect("answers pipelined requests in their order, also when one of them is refused", () =>
    Effect.gen(function*() {
      const get = (path: string, last = "") => `GET ${path} HTTP/1.1\r\nhost: x\r\n${last}\r\n`
      const answer = yield* raw(
        get("/page") + get("/nowhere") + get("/orders/a1") + get("/orders/gone") + get("/page", "connection: close\r\n")
      )
      assert.deepStrictEqual(statuses(answer), [200, 404, 200, 422, 200])
    }))

  it.effect("asks for the body that waits for a word, and for no other", () =>
    Effect.gen(function*() {
      const answer = yield* raw(order(`${json}\r\nexpect: 100-continue\r\n${length}`))
      assert.deepStrictEqual(statuses(answer), [100, 200])
      const large = yield* raw(order(`${json}\r\nexpect: 100-continue\r\ncontent-length: 70000`, ""))
      assert.strictEqual(statuses(large).at(-1), 413)
    }))
})

const echo = HttpRouter.add("POST", "/echo", (request) => Effect.map(request.text, HttpServerResponse.text))

const due = HttpRouter.add(
  "GET",
  "/due",
  Effect.map(CurrentRequest, ({ endsAt }) => HttpServerResponse.text(String(endsAt)))
)

const Impatient = serveHttp(Layer.merge(echo, due), {
  port: 0,
  host: "127.0.0.1",
  portVariable: "PORT",
  corsOrigins: [],
  grace: 0,
  drain: 0,
  requestTimeout: 300
}).pipe(Layer.provide(Logger.layer([])))

layer(Impatient, { excludeTestServices: true })("the HTTP edge, kept waiting", (it) => {
  it.effect("tells the work behind it when the answer is due", () =>
    Effect.gen(function*() {
      const before = Date.now()
      const { text } = yield* send("/due")
      assert.isAtLeast(Number(text), before + 300)
      assert.isAtMost(Number(text), Date.now() + 300)
    }))

  it.effect("answers 408 to half a head and to half a body, and closes", () =>
    Effect.gen(function*() {
      const halves = {
        "half a head": "POST /echo HTTP/1.1\r\nhost: x\r\nx-a: ",
        "half a body": `POST /echo HTTP/1.1\r\nhost: x\r\n${length}\r\n\r\n${body.slice(5)}`,
        "half a chunk": "POST /echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab"
      }
      yield* Effect.forEach(
        Object.entries(halves),
        ([name, half]) => Effect.map(raw(half), (answer) => isRefused(answer, 408, name)),
        { concurrency: "unbounded" }
      )
    }))
})
