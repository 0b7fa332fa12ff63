import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http"
import { CourierLive } from "../../src/layers/webhooks/CourierLive.ts"
import { HostNames, NameNotFound } from "../../src/layers/webhooks/HostNames.ts"
import { isPublicAddress, refusalOf } from "../../src/services/WebhookAddresses.ts"
import { WebhookCourier, WebhookSettings } from "../../src/services/WebhookCourier.ts"

interface Heard {
  readonly url: string
  readonly host: string | undefined
  readonly body: string
}

/** A receiver on loopback that says what it heard. */
const receiver = (answer: (request: IncomingMessage, response: ServerResponse) => void, host = "127.0.0.1") =>
  Effect.acquireRelease(
    Effect.promise(() =>
      new Promise<{ readonly server: Server; readonly port: number; readonly heard: Array<Heard> }>((resolve) => {
        const heard: Array<Heard> = []
        const server = createServer((request, response) => {
          let body = ""
          request.on("data", (chunk: Buffer) => {
            body += chunk.toString()
          })
          request.on("end", () => {
            heard.push({ url: request.url ?? "", host: request.headers.host, body })
            answer(request, response)
          })
        })
        server.listen(0, host, () => {
          const address = server.address()
          resolve({ server, heard, port: typeof address === "object" && address !== null ? address.port : 0 })
        })
      })
    ),
    ({ server }) =>
      Effect.sync(() => {
        server.closeAllConnections()
        server.close()
      })
  )

/** Name servers that answer the first question so, the second so, and count them. */
const names = (...answers: ReadonlyArray<ReadonlyArray<string>>) => {
  const asked: Array<string> = []
  const layer = Layer.succeed(HostNames, {
    resolve: (host) =>
      Effect.suspend(() => {
        const answer = answers[Math.min(asked.push(host), answers.length) - 1]
        return answer === undefined ? Effect.fail(new NameNotFound({ host })) : Effect.succeed(answer)
      })
  })
  return { asked, layer }
}

const send = (url: string, allowPrivate: boolean, layer: Layer.Layer<HostNames>) =>
  Effect.flatMap(WebhookCourier, (courier) => courier.send({ url, headers: { "webhook-id": "evt" }, body: "{}" })).pipe(
    Effect.provide(CourierLive.pipe(Layer.provide([layer, Layer.succeed(WebhookSettings, { allowPrivate })])))
  )

describe("who may be sent to", () => {
  it("is nobody at a private address, in whatever spelling", () => {
    const urls = [
      "https://127.0.0.1/",
      "https://2130706433/",
      "https://017700000001/",
      "https://0x7f.1/",
      "https://127.1/",
      "https://0/",
      "https://[::1]/",
      "https://[::]/",
      "https://[::ffff:10.0.0.1]/",
      "https://[64:ff9b::7f00:1]/",
      "https://[64:ff9b::10.0.0.1]/",
      "https://[64:ff9b:1::1]/",
      "https://[64:ff9b::a00:1]/",
      "https://[::10.0.0.1]/",
      "https://[::ffff:0:10.0.0.1]/",
      "https://[::ffff:169.254.169.254]/",
      "https://[100::1]/",
      "https://[5f00::1]/",
      "https://[fc00::1]/",
      "https://[fec0::1]/",
      "https://0.0.0.0/",
      "https://10.0.0.1./",
      "https://0xa000001/",
      "https://012.0.0.1/",
      "https://\uff11\uff10.0.0.1/",
      "https://10\u30020\u30020\u30021/",
      "https://user:word@127.0.0.1/",
      "https://LOCALHOST/",
      "https://localhost.localdomain/",
      "https://[fd00::1]/",
      "https://[fe80::1]/",
      "https://[ff02::1]/",
      "https://[2002:7f00:1::]/",
      "https://[2001:db8::1]/",
      "https://[2001:0:7f00:1::]/",
      "https://10.1.2.3/",
      "https://100.64.0.1/",
      "https://169.254.169.254/latest/meta-data",
      "https://172.31.255.255/",
      "https://192.168.0.1/",
      "https://192.0.0.8/",
      "https://198.18.0.1/",
      "https://224.0.0.1/",
      "https://255.255.255.255/",
      "https://168.63.129.16/",
      "https://localhost/",
      "https://app.localhost./",
      "https://metadata.google.internal/",
      "https://printer.local/",
      "http://example.com/"
    ]
    assert.deepStrictEqual(urls.filter((url) => refusalOf(new URL(url), false) === undefined), [])
  })

  it("is everybody at a public one", () => {
    const addresses = ["1.1.1.1", "8.8.8.8", "172.32.0.1", "2606:4700:4700::1111", "64:ff9b::808:808"]
    assert.deepStrictEqual(addresses.filter((address) => !isPublicAddress(address)), [])
    assert.isFalse(isPublicAddress("no address"))
    assert.isUndefined(refusalOf(new URL("https://example.com:8443/hook?x=1"), false))
  })
})

describe("the courier", () => {
  it.live("sends to the address that was judged, under the name it was asked for, and asks for the name once", () =>
    Effect.gen(function*() {
      const { heard, port } = yield* receiver((_, response) => response.writeHead(200).end("ok"))
      const { asked, layer } = names(["127.0.0.1"], ["127.0.0.99"])
      const outcome = yield* send(`http://hooks.example.com:${port}/in`, true, layer)
      assert.deepStrictEqual(outcome, { status: 200, failure: null })
      assert.deepStrictEqual(heard, [{ url: "/in", host: `hooks.example.com:${port}`, body: "{}" }])
      assert.deepStrictEqual(asked, ["hooks.example.com"])
    }).pipe(Effect.scoped))

  it.live("lets no request reach a private address that a name leads to, first, later or among others", () =>
    Effect.gen(function*() {
      const { heard, port } = yield* receiver((_, response) => response.writeHead(200).end())
      // 203.0.113.1 is for documents; a public address that nobody answers at would be waited for.
      const rebinding = names(["127.0.0.1"], ["10.0.0.1"])
      const mixed = names(["8.8.8.8", "127.0.0.1"])
      const mapped = names(["::ffff:127.0.0.1"])
      for (const { layer } of [rebinding, rebinding, mixed, mapped]) {
        const outcome = yield* send(`https://hooks.example.com:${port}/`, false, layer)
        assert.deepStrictEqual(outcome, { status: null, failure: "the name leads to a private address" })
      }
      const literal = yield* send(`https://127.0.0.1:${port}/`, false, names().layer)
      assert.strictEqual(literal.failure, "That address is not a public one.")
      assert.deepStrictEqual(heard, [])
    }).pipe(Effect.scoped))

  it.live("follows no redirect", () =>
    Effect.gen(function*() {
      const inner = yield* receiver((_, response) => response.writeHead(200).end())
      const outer = yield* receiver((_, response) =>
        response.writeHead(307, { location: `http://127.0.0.1:${inner.port}/secret` }).end()
      )
      const outcome = yield* send(`http://hooks.example.com:${outer.port}/`, true, names(["127.0.0.1"]).layer)
      assert.deepStrictEqual(outcome, { status: 307, failure: null })
      assert.lengthOf(outer.heard, 1)
      assert.deepStrictEqual(inner.heard, [])
    }).pipe(Effect.scoped))

  it.live("reads no more of an answer than it must", () =>
    Effect.gen(function*() {
      const { port } = yield* receiver((_, response) => {
        response.writeHead(200)
        const more = () => {
          while (!response.destroyed && response.write("x".repeat(65_536)));
        }
        response.on("drain", more)
        more()
      })
      assert.strictEqual((yield* send(`http://127.0.0.1:${port}/`, true, names().layer)).status, 200)
    }).pipe(Effect.scoped))

  it.live("says what went wrong without an address in it", () =>
    Effect.gen(function*() {
      const cut = yield* receiver((request) => request.socket.destroy())
      const outcomes = [
        yield* send(`http://127.0.0.1:${cut.port}/`, true, names().layer),
        yield* send("http://nowhere.example.com/", true, names().layer),
        yield* send(`https://127.0.0.1:${cut.port}/`, true, names().layer)
      ]
      assert.deepStrictEqual(outcomes.map(({ status }) => status), [null, null, null])
      assert.strictEqual(outcomes[1]?.failure, "the name has no address")
      for (const { failure } of outcomes) assert.notMatch(failure ?? "127", /127|\d{5}/)
    }).pipe(Effect.scoped))
})
