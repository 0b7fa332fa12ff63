import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { Api } from "../../src/http/Api.ts"
import { classesOf } from "../../src/layers/Shedding.ts"
import { raw, Shop } from "../layers/Shop.ts"
import { announce, member, put, VideoBench } from "../layers/VideoBench.ts"

// What a proxy in front lets pass because it reads a path or a body in another way than the server behind it.

const statusOf = (answer: string) => Number(/^HTTP\/1\.1 (\d{3}) /.exec(answer)?.[1])
const get = (path: string, headers = "") =>
  raw(`GET ${path} HTTP/1.1\r\nhost: x\r\n${headers}connection: close\r\n\r\n`)

const body = "{\"item\":\"tea\",\"amount\":1}"
const chunked = (coding: string) =>
  raw(
    `POST /orders HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nconnection: close\r\n`
      + `transfer-encoding: ${coding}\r\n\r\n${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`
  )

layer(Shop, { excludeTestServices: true })("a path, and a body", (it) => {
  it.effect("have one spelling: another case, more slashes or an end that is no end lead nowhere", () =>
    Effect.gen(function*() {
      assert.strictEqual(statusOf(yield* get("/page")), 200)
      // What is escaped and need not be is the same path (RFC 3986), to proxies too.
      assert.strictEqual(statusOf(yield* get("/p%61ge")), 200)
      for (const path of ["/PAGE", "/Page", "//page", "/page/", "/page//", "/./page", "/x/../page", "/page%2f"]) {
        const answer = yield* get(path)
        assert.strictEqual(statusOf(answer), 404, path)
        assert.include(answer, "\"code\":\"NotFound\"", path)
      }
      for (const path of ["/page;x=1", "/page;", "/;/page", "/page#x"]) {
        const answer = yield* get(path)
        assert.strictEqual(statusOf(answer), 400, path)
        assert.include(answer, "\"pointer\":\"/path\"", path)
      }
      // In a query both say what they always did.
      assert.strictEqual(statusOf(yield* get("/page?a=1;b=2")), 200)
    }))

  it.effect("are judged by the door as by the router", () =>
    Effect.sync(() => {
      const classOf = classesOf(Api)
      assert.strictEqual(classOf("POST", "/api/wallet/transfers"), "payments")
      // Nothing is there, and so nothing comes first.
      for (const path of ["/API/wallet/transfers", "//api/wallet/transfers", "/api/wallet/transfers/"]) {
        assert.strictEqual(classOf("POST", path), "reads", path)
      }
      assert.isUndefined(classOf("GET", "/metrics"))
      assert.strictEqual(classOf("GET", "/METRICS"), "reads")
    }))

  it.effect("are no other bytes to us than to whoever heeds Transfer-Encoding", () =>
    Effect.gen(function*() {
      assert.strictEqual(statusOf(yield* chunked("chunked")), 200)
      assert.strictEqual(statusOf(yield* chunked("Chunked")), 200)
      for (const coding of ["gzip, chunked", "identity, chunked", "x, chunked"]) {
        const answer = yield* chunked(coding)
        assert.strictEqual(statusOf(answer), 400, coding)
        assert.include(answer, "application/problem+json", coding)
        assert.include(answer, "\"pointer\":\"/headers/transfer-encoding\"", coding)
      }
    }))

  it.effect("say nothing of the host that a request claims, in any of its headers", () =>
    Effect.gen(function*() {
      const forged = "x-forwarded-host: evil.example\r\nforwarded: host=evil.example\r\nx-original-url: /page\r\n"
      for (const path of ["/nowhere", "http://evil.example/nowhere?token=secret", "//evil.example/page"]) {
        const answer = yield* get(path, forged)
        assert.strictEqual(statusOf(answer), 404, path)
        assert.match(answer, /"instance":"\/(nowhere|\/evil\.example\/page)"/, path)
        assert.notInclude(answer, "secret", path)
      }
    }))
})

layer(VideoBench, { timeout: "60 seconds", excludeTestServices: true })("an upload", (it) => {
  it.effect("is not taken with a Content-Encoding, whose bytes would not be the video", () =>
    Effect.gen(function*() {
      const { uploadUrl } = yield* announce(yield* member, 5)
      const encoded = { "content-encoding": "gzip" }
      const refused = yield* put(uploadUrl, "bytes", { headers: encoded })
      assert.strictEqual(refused.status, 415)
      assert.strictEqual(refused.json["code"], "UnsupportedMediaType")
      const part = yield* put(uploadUrl, "b", {
        method: "PATCH",
        headers: {
          ...encoded,
          "tus-resumable": "1.0.0",
          "upload-offset": "0",
          "content-type": "application/offset+octet-stream"
        }
      })
      assert.strictEqual(part.status, 415)
      const taken = yield* put(uploadUrl, "bytes", { headers: { "content-encoding": "identity" } })
      assert.strictEqual(taken.status, 200)
    }))
})
