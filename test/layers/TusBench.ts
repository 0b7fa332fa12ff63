import { Effect, Schema } from "effect"
import { HttpServer } from "effect/http"
import { createHash } from "node:crypto"
import { readdir } from "node:fs/promises"
import { request } from "node:http"
import { join } from "node:path"
import { SpoolFolder } from "./VideoBench.ts"

/** Requests of the tus protocol, written by hand from its text: what the tests say is what goes over the wire. */
export interface TusAnswer {
  readonly status: number
  readonly headers: Headers
  readonly offset: string | null
  readonly json: Readonly<Record<string, unknown>>
}

const Json = Schema.fromJsonString(Schema.Record(Schema.String, Schema.Unknown))

export const onServer = Effect.fnUntraced(function*(uploadUrl: string) {
  const { address } = yield* HttpServer.HttpServer
  const url = new URL(uploadUrl)
  url.port = String("port" in address ? address.port : 0)
  return url
})

export const tusRequest = Effect.fnUntraced(function*(
  method: string,
  uploadUrl: string,
  headers: Readonly<Record<string, string>> = {},
  body?: BodyInit
) {
  const url = yield* onServer(uploadUrl)
  return yield* Effect.promise(async (): Promise<TusAnswer> => {
    const answer = await fetch(url, {
      method,
      headers: { "tus-resumable": "1.0.0", ...headers },
      ...(body === undefined ? {} : { body })
    })
    const text = await answer.text()
    return {
      status: answer.status,
      headers: answer.headers,
      offset: answer.headers.get("upload-offset"),
      json: text.startsWith("{") ? Schema.decodeUnknownSync(Json)(text) : {}
    }
  })
})

export const offsetOf = (uploadUrl: string) => tusRequest("HEAD", uploadUrl)

export const append = (
  uploadUrl: string,
  offset: number,
  bytes: Uint8Array<ArrayBuffer>,
  headers: Readonly<Record<string, string>> = {}
) =>
  tusRequest(
    "PATCH",
    uploadUrl,
    { "content-type": "application/offset+octet-stream", "upload-offset": String(offset), ...headers },
    bytes
  )

/** `Upload-Checksum` of some bytes. */
export const checksum = (bytes: Uint8Array, algorithm: "sha1" | "sha256" = "sha1") => ({
  "upload-checksum": `${algorithm} ${createHash(algorithm).update(bytes).digest("base64")}`
})

/** A sender that announces all, sends a part, and then neither goes on nor goes away; answers how it ends. */
export const stalled = Effect.fnUntraced(function*(uploadUrl: string, part: Uint8Array, announced: number, from = 0) {
  const url = yield* onServer(uploadUrl)
  return yield* Effect.acquireRelease(
    Effect.sync(() => {
      const sender = request(url, {
        method: "PATCH",
        headers: {
          "tus-resumable": "1.0.0",
          "content-type": "application/offset+octet-stream",
          "upload-offset": String(from),
          "content-length": String(announced)
        }
      })
      const ended = new Promise<number>((resolve) => {
        sender.on("error", () => resolve(0))
        sender.on("response", (answer) => {
          answer.resume()
          resolve(answer.statusCode ?? 0)
        })
      })
      sender.write(part)
      return { sender, ended }
    }),
    ({ sender }) => Effect.sync(() => sender.destroy())
  )
})

/** The names in one of the spool's folders that belong to a video. */
export const spooled = Effect.fnUntraced(function*(folder: "incoming" | "partial" | "videos", videoId: string) {
  const { path } = yield* SpoolFolder
  const names = yield* Effect.promise(() => readdir(join(path, folder)))
  return names.filter((name) => name.startsWith(videoId))
})
