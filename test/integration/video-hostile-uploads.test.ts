import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { once } from "node:events"
import { readdir, readFile, utimes } from "node:fs/promises"
import { connect } from "node:net"
import { join } from "node:path"
import { Uploads } from "../../src/services/Uploads.ts"
import { append, offsetOf, onServer, spooled, tusRequest } from "../layers/TusBench.ts"
import { announce, member, put, putInTurn, sha256, SpoolFolder, VideoBench } from "../layers/VideoBench.ts"

const bytes = (text: string) => new Uint8Array(Buffer.from(text))
const rounds = 20

/** Writes these words to the upload server as they stand, and hangs up: answers what came back. */
const spoken = Effect.fnUntraced(function*(uploadUrl: string, lines: ReadonlyArray<string>, body: string) {
  const { host, pathname, port, search } = yield* onServer(uploadUrl)
  return yield* Effect.promise(async () => {
    const socket = connect(Number(port), "127.0.0.1")
    let answer = ""
    socket.setEncoding("utf8").on("data", (text) => {
      answer += String(text)
    })
    socket.on("error", () => {})
    socket.end([`PUT ${pathname}${search} HTTP/1.1`, `Host: ${host}`, ...lines, "", body].join("\r\n"))
    await once(socket, "close")
    return answer
  })
})

const finished = Effect.fnUntraced(function*(uploadUrl: string, videoId: string) {
  const { offset } = yield* offsetOf(uploadUrl)
  const { path } = yield* SpoolFolder
  const names = yield* spooled("videos", videoId)
  const [name = ""] = names
  const kept = yield* Effect.promise(() => readFile(join(path, "videos", name)))
  // The name is the digest, so nothing was mixed or cut after it was hashed.
  assert.deepStrictEqual(names, [`${videoId}.${sha256(kept)}`])
  return { offset, text: kept.toString() }
})

layer(VideoBench, { timeout: "120 seconds", excludeTestServices: true })("an upload that is not what it says", (it) => {
  it.effect("is refused for what its length says, and can be sent again", () =>
    Effect.gen(function*() {
      const { uploadUrl, videoId } = yield* announce(yield* member, 4)
      const said = (lines: ReadonlyArray<string>, body: string) => spoken(uploadUrl, lines, body)
      const refused = [
        [["Content-Length: 4", "Content-Length: 3"], "four", "400"],
        [["Content-Length: 4", "Transfer-Encoding: chunked"], "4\r\nfour\r\n0\r\n\r\n", "400"],
        [["Content-Length: -4"], "four", "400"],
        [["Content-Length: 4e0"], "four", "400"],
        [["Content-Length: 99999999999999999999"], "four", "400"],
        [["Content-Length: 999999999999"], "four", "413"],
        [["Content-Length: 5"], "four!", "413"],
        [["Content-Length: 3", "Connection: close"], "fou", "422"],
        [["Transfer-Encoding: chunked"], "fff\r\nfour", "4"]
      ] as const
      for (const [lines, body, status] of refused) {
        const answer = yield* said(lines, body)
        // Who hangs up in the middle may get no answer; whoever gets one gets a problem.
        if (answer !== "") {
          assert.match(answer, new RegExp(`^HTTP/1.1 ${status}`), `${lines.join()}: ${answer.slice(0, 80)}`)
          assert.include(answer, "application/problem+json", lines.join())
        }
      }
      // Fewer bytes than it says, and the end of the connection.
      yield* said(["Content-Length: 4"], "fo")
      assert.deepStrictEqual(yield* spooled("videos", videoId), [])
      assert.strictEqual((yield* putInTurn(uploadUrl, bytes("four"))).status, 200)
      assert.strictEqual((yield* finished(uploadUrl, videoId)).text, "four")
    }))

  it.effect("changes nothing by headers that this server does not know, nor by offsets that do not fit", () =>
    Effect.gen(function*() {
      const { uploadUrl, videoId } = yield* announce(yield* member, 8)
      const strange = {
        "upload-metadata": "filename Li4vLi4vZXRj,\u00ff\u00fe,=,,",
        "upload-length": "999999999999",
        "upload-defer-length": "1",
        "upload-concat": "final;/uploads/a /uploads/b",
        "x-http-method-override": "DELETE"
      }
      assert.strictEqual((yield* append(uploadUrl, 0, bytes("abcd"), strange)).offset, "4")
      for (const offset of ["0", "3", "5", "999999999999"]) {
        const answer = yield* tusRequest("PATCH", uploadUrl, {
          "content-type": "application/offset+octet-stream",
          "upload-offset": offset
        }, "xxxx")
        assert.deepStrictEqual([answer.status, answer.json["code"], answer.json["upload_offset"]], [
          409,
          "UploadOffsetMismatch",
          4
        ])
      }
      for (const offset of ["4.0", "+4", "04", "0x4", "4e0", "9999999999999", "4, 4", "NaN"]) {
        const answer = yield* tusRequest("PATCH", uploadUrl, {
          "content-type": "application/offset+octet-stream",
          "upload-offset": offset
        }, "xxxx")
        assert.deepStrictEqual([answer.status, answer.json["code"]], [400, "InvalidRequest"], offset)
      }
      assert.strictEqual((yield* append(uploadUrl, 4, bytes("efgh"))).status, 204)
      assert.strictEqual((yield* finished(uploadUrl, videoId)).text, "abcdefgh")
    }))

  it.effect(`is one sender's or the other's when two go on at the same offset, ${rounds} times`, () =>
    Effect.gen(function*() {
      for (let round = 0; round < rounds; round++) {
        const { uploadUrl, videoId } = yield* announce(yield* member, 8)
        yield* append(uploadUrl, 0, bytes("----"))
        const answers = yield* Effect.all([append(uploadUrl, 4, bytes("aaaa")), append(uploadUrl, 4, bytes("bbbb"))], {
          concurrency: "unbounded"
        })
        assert.deepStrictEqual(answers.filter(({ status }) => ![204, 409, 503].includes(status)), [])
        // A sender that was told nothing final asks how far it is, as the protocol says, and goes on.
        const { offset } = yield* offsetOf(uploadUrl)
        if (offset === "4") assert.strictEqual((yield* append(uploadUrl, 4, bytes("aaaa"))).status, 204)
        const { text } = yield* finished(uploadUrl, videoId)
        assert.include(["----aaaa", "----bbbb"], text)
      }
    }))

  it.effect(`is one whole file when it comes at once and in stretches together, ${rounds} times`, () =>
    Effect.gen(function*() {
      const { path } = yield* SpoolFolder
      for (let round = 0; round < rounds; round++) {
        const { uploadUrl, videoId } = yield* announce(yield* member, 8)
        yield* append(uploadUrl, 0, bytes("aaaa"))
        const [whole, rest] = yield* Effect.all([
          put(uploadUrl, bytes("bbbbbbbb")),
          append(uploadUrl, 4, bytes("aaaa"))
        ], {
          concurrency: "unbounded"
        })
        assert.strictEqual(whole.status, 200)
        assert.include([204, 409], rest.status)
        const { offset, text } = yield* finished(uploadUrl, videoId)
        assert.strictEqual(offset, "8")
        assert.include(["aaaaaaaa", "bbbbbbbb"], text)
        assert.strictEqual(whole.json["sha256"], sha256(bytes(text)))
        const late = yield* tusRequest("DELETE", uploadUrl)
        assert.deepStrictEqual([late.status, late.json["code"]], [409, "UploadComplete"])
      }
      // What the loser left is nobody's an hour later, for two sweeps at once as for one.
      for (const name of yield* Effect.promise(() => readdir(join(path, "partial")))) {
        // What is cleared away by itself meanwhile is gone as well.
        yield* Effect.promise(() => utimes(join(path, "partial", name), 1, 1).catch(() => {}))
      }
      const sweep = Effect.flatMap(Uploads, (uploads) => uploads.sweep)
      yield* Effect.all([sweep, sweep], { concurrency: "unbounded" })
      assert.deepStrictEqual(yield* Effect.promise(() => readdir(join(path, "partial"))), [])
    }))

  it.effect(`is taken back or is complete, never both, when both are asked at once, ${rounds} times`, () =>
    Effect.gen(function*() {
      for (let round = 0; round < rounds; round++) {
        const { uploadUrl, videoId } = yield* announce(yield* member, 4)
        const [sent, taken] = yield* Effect.all([put(uploadUrl, bytes("four")), tusRequest("DELETE", uploadUrl)], {
          concurrency: "unbounded"
        })
        const { status } = yield* offsetOf(uploadUrl)
        if (sent.status === 200) {
          assert.deepStrictEqual([taken.status, status], [409, 200])
          assert.strictEqual((yield* finished(uploadUrl, videoId)).text, "four")
        } else assert.deepStrictEqual([sent.status, taken.status, status], [404, 204, 404])
      }
    }))
})
