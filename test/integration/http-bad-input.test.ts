import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { isProblem, pointers, post, raw, send, Shop } from "../layers/Shop.ts"

layer(Shop, { excludeTestServices: true })("the HTTP edge, given bad input", (it) => {
  it.effect("names every rejected place of a body and what is allowed there", () =>
    Effect.gen(function*() {
      const answer = yield* post(JSON.stringify({ item: 5, amount: 101, "a/b~c": 1 }))
      isProblem(answer, 400, "InvalidRequest")
      assert.deepStrictEqual(pointers(answer), [
        { pointer: "/body/a~1b~0c", detail: "Unknown property; known are item, amount, tags" },
        { pointer: "/body/item", detail: "Expected string" },
        { pointer: "/body/amount", detail: "Expected a value between 1 and 100" }
      ])
      const missing = yield* post("{\"item\":\"tea\"}")
      assert.deepStrictEqual(pointers(missing), [{ pointer: "/body/amount", detail: "This is required" }])
      const path = yield* send("/orders/NOPE")
      assert.deepStrictEqual(pointers(path).map(({ pointer }) => pointer), ["/path/id"])
    }))

  it.effect("refuses malformed, empty and hostile JSON with 400 and never a 5xx", () =>
    Effect.gen(function*() {
      const hostile = [
        "",
        "{",
        "null",
        "[]",
        "\"x\"",
        "{\"item\":\"a\\u0000b\",\"amount\":1}",
        "{\"item\":\"\\ud800\",\"amount\":1}",
        "{\"item\":\"\\udc00\\ud800\",\"amount\":1}",
        "{\"item\":\"a\u0000\",\"amount\":1}",
        "[".repeat(5000) + "]".repeat(5000),
        "{\"item\":" + "[".repeat(40) + "]".repeat(40) + "}",
        "{\"__proto__\":{\"item\":\"x\"},\"amount\":1}",
        "{\"__proto__\":null,\"item\":\"x\",\"amount\":1}",
        "{\"item\":\"a\",\"amount\":1e400}",
        "{\"item\":\"a\",\"amount\":\"5\"}",
        JSON.stringify(Object.fromEntries(Array.from({ length: 3000 }, (_, at) => [`key${at}`, at])))
      ]
      for (const body of hostile) {
        const answer = yield* post(body)
        isProblem(answer, 400, "InvalidRequest")
        assert.isAtMost(answer.text.length, 16_000, body.slice(0, 50))
      }
    }))

  it.effect("refuses JSON nested deeper than 32 levels before a decoder sees it", () =>
    Effect.gen(function*() {
      const nested = (depth: number) => `{"item":"a","amount":1,"tags":${"[".repeat(depth)}${"]".repeat(depth)}}`
      assert.include(pointers(yield* post(nested(32)))[0]?.detail, "32 levels")
      assert.notInclude((yield* post(nested(31))).text, "32 levels")
    }))

  it.effect("takes what is unusual and yet allowed", () =>
    Effect.gen(function*() {
      const bodies = [
        "{\"amount\":1,\"item\":\"a\",\"item\":\"b\"}",
        "{\"item\":\"\\ud83d\\ude00 \\\\u0000\",\"amount\":1}",
        " \n{\"item\":\"\\\"[[[[\",\"amount\":1}"
      ]
      for (const body of bodies) assert.strictEqual((yield* post(body)).status, 200, body)
      assert.strictEqual((yield* post(bodies[0] ?? "")).json["item"], "b")
    }))

  it.effect("refuses NUL and broken escapes in a path or query", () =>
    Effect.gen(function*() {
      isProblem(yield* send("/orders/a%00b"), 400, "InvalidRequest")
      const query = yield* send("/orders/a?x=%00")
      assert.deepStrictEqual(pointers(query).map(({ pointer }) => pointer), ["/query"])
      for (const path of ["/orders/%zz", "/orders/%ff", "/%", "/orders/%c0%80"]) {
        assert.isBelow((yield* send(path)).status, 500)
      }
    }))

  it.effect("answers another media type with 415", () =>
    Effect.gen(function*() {
      isProblem(yield* post("item=tea", { "content-type": "text/xml" }), 415, "UnsupportedMediaType")
    }))

  it.effect("refuses a body over the limit before it has arrived", () =>
    Effect.gen(function*() {
      const announced = yield* raw(
        "POST /orders HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 62914560\r\n\r\n{"
      )
      assert.match(announced, /^HTTP\/1\.1 413 /)
      assert.include(announced, "\"limit_bytes\":65536")
      const chunk = Buffer.alloc(1 << 20, 32)
      const frame = Buffer.concat([Buffer.from(`${chunk.length.toString(16)}\r\n`), chunk, Buffer.from("\r\n")])
      const chunked = yield* raw(
        "POST /orders HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n",
        ...Array.from({ length: 60 }, () => frame)
      )
      assert.match(chunked, /^HTTP\/1\.1 413 /)
      assert.include(chunked, "PayloadTooLarge")
    }))

  it.effect("answers what is not HTTP, or has too many headers, with a problem", () =>
    Effect.gen(function*() {
      const nonsense = yield* raw("NONSENSE\r\n\r\n")
      assert.match(nonsense, /^HTTP\/1\.1 400 /)
      assert.include(nonsense, "application/problem+json")
      assert.include(nonsense, "x-content-type-options: nosniff")
      const hostless = yield* raw("GET /page HTTP/1.1\r\nconnection: close\r\n\r\n")
      assert.match(hostless, /^HTTP\/1\.1 400 /)
      assert.include(hostless, "/headers/host")
      const expecting = yield* raw("GET /page HTTP/1.1\r\nhost: x\r\nexpect: tea\r\nconnection: close\r\n\r\n")
      assert.match(expecting, /^HTTP\/1\.1 417 /)
      assert.include(expecting, "ExpectationFailed")
      const headers = yield* raw(`GET /page HTTP/1.1\r\nhost: x\r\nx-big: ${"a".repeat(9000)}\r\n\r\n`)
      assert.match(headers, /^HTTP\/1\.1 431 /)
      assert.include(headers, "HeadersTooLarge")
    }))
})
