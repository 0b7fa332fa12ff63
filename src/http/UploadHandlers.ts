import { DateTime, Effect, Option, Schema } from "effect"
import { HttpRouter, HttpServerRequest, HttpServerRespondable, HttpServerResponse } from "effect/http"
import { VideoId } from "../domain/Ids.ts"
import { InvalidRequest, Unavailable, UnsupportedMediaType } from "../domain/Problem.ts"
import { type Checksum, TusVersionUnsupported, UploadUrlInvalid } from "../domain/Uploads.ts"
import { largestUpload } from "../domain/Video.ts"
import { Readiness } from "../services/Readiness.ts"
import { type Progress, type SignedGrant, Uploads } from "../services/Uploads.ts"
import type { Protocol } from "./middleware/Cors.ts"

export const uploadRoute = "/uploads/:videoId"

const version = "1.0.0"
const mediaType = "application/offset+octet-stream"

/** tus 1.0.0 (https://tus.io/protocols/resumable-upload), without creation: the API announces uploads. */
export const tus: Protocol = {
  capabilities: {
    "tus-resumable": version,
    "tus-version": version,
    "tus-extension": "checksum,expiration,termination",
    "tus-checksum-algorithm": "sha1,sha256",
    "tus-max-size": String(largestUpload)
  },
  requestHeaders: ["Tus-Resumable", "Upload-Offset", "Upload-Checksum"],
  responseHeaders: ["Tus-Resumable", "Tus-Version", "Upload-Offset", "Upload-Length", "Upload-Expires"]
}

const Path = Schema.Struct({ videoId: VideoId })
const whole = Schema.String.check(Schema.isPattern(/^[1-9][0-9]{0,11}$/)).pipe(Schema.decodeTo(Schema.FiniteFromString))
const Query = Schema.Struct({ bytes: whole, expires: whole, signature: Schema.String.check(Schema.isMaxLength(64)) })

const malformed = new UploadUrlInvalid({ detail: "Use the URL as it was given." })
const wrongHeader = (name: string, detail: string) =>
  new InvalidRequest({ errors: [{ pointer: `/headers/${name}`, detail }] })
const wrongVersion = new TusVersionUnsupported({ detail: `Tus-Resumable must be ${version}.` })
const wrongType = new UnsupportedMediaType({ detail: `PATCH takes a body of Content-Type ${mediaType}.` })

const encoded = new UnsupportedMediaType({ detail: "Bytes are taken as they are, without a Content-Encoding." })

/** Stored as they came, compressed bytes would not be the video that was announced. */
const plain = ({ headers }: HttpServerRequest.HttpServerRequest) =>
  (headers["content-encoding"] ?? "identity").toLowerCase() === "identity" ? Effect.void : Effect.fail(encoded)

/** The signed URL is the permission: browsers and apps send the bytes here without a token. */
const grant = Effect.gen(function*() {
  const read = Effect.all([HttpRouter.schemaPathParams(Path), HttpServerRequest.schemaSearchParams(Query)])
  const [{ videoId }, { bytes, expires, signature }] = yield* Effect.mapError(read, () => malformed)
  const signed: SignedGrant = { videoId, bytes, expiresAt: DateTime.makeUnsafe(expires * 1_000), signature }
  return signed
})

const put = Effect.fnUntraced(function*(uploads: Uploads["Service"]) {
  const request = yield* HttpServerRequest.HttpServerRequest
  yield* plain(request)
  const length = request.headers["content-length"]
  const answer = yield* uploads.receive({
    ...(yield* grant),
    declaredBytes: length === undefined ? Option.none() : Option.some(Number(length)),
    body: request.stream
  })
  return HttpServerResponse.jsonUnsafe(answer)
}, Effect.catch(HttpServerRespondable.toResponse))

// RFC 9110's date, which is how JavaScript writes UTC.
const httpDate = (at: DateTime.Utc) => DateTime.toDateUtc(at).toUTCString()

const far = (status: 200 | 204, { length, offset, until }: Progress) =>
  HttpServerResponse.empty({
    status,
    headers: {
      "upload-offset": String(offset),
      ...(status === 200 ? { "upload-length": String(length) } : {}),
      ...(offset < length ? { "upload-expires": httpDate(until) } : {})
    }
  })

/** Every request of the protocol names its version, and every answer does. */
const speaking = <E extends HttpServerRespondable.Respondable, R>(
  answer: (request: HttpServerRequest.HttpServerRequest) => Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>
) =>
  Effect.gen(function*() {
    const request = yield* HttpServerRequest.HttpServerRequest
    if (request.headers["tus-resumable"] !== version) return yield* wrongVersion
    return yield* answer(request)
  }).pipe(
    Effect.catch(HttpServerRespondable.toResponse),
    Effect.map((response) =>
      HttpServerResponse.setHeaders(response, {
        "tus-resumable": version,
        ...(response.status === 412 ? { "tus-version": version } : {})
      })
    )
  )

const offsetOf = (header: string | undefined) =>
  header !== undefined && /^(0|[1-9][0-9]{0,11})$/.test(header)
    ? Effect.succeed(Number(header))
    : Effect.fail(wrongHeader("upload-offset", "This must be a whole number of bytes"))

const checksumOf = Effect.fnUntraced(function*(header: string | undefined) {
  if (header === undefined) return Option.none<Checksum>()
  const [, algorithm, digest] = /^(sha1|sha256) ([A-Za-z0-9+/]+={0,2})$/.exec(header) ?? []
  if (digest === undefined) {
    return yield* wrongHeader("upload-checksum", "This must be sha1 or sha256, a space and the digest in Base64")
  }
  return Option.some<Checksum>({ algorithm: algorithm === "sha1" ? "sha1" : "sha256", digest })
})

const patch = (uploads: Uploads["Service"]) =>
  speaking(Effect.fnUntraced(function*(request) {
    if (request.headers["content-type"] !== mediaType) return yield* wrongType
    yield* plain(request)
    const progress = yield* uploads.append({
      ...(yield* grant),
      offset: yield* offsetOf(request.headers["upload-offset"]),
      checksum: yield* checksumOf(request.headers["upload-checksum"]),
      body: request.stream
    })
    return far(204, progress)
  }))

const head = (uploads: Uploads["Service"]) =>
  speaking(() => grant.pipe(Effect.flatMap(uploads.progress), Effect.map((progress) => far(200, progress))))

const terminate = (uploads: Uploads["Service"]) =>
  speaking(() => grant.pipe(Effect.flatMap(uploads.cancel), Effect.as(HttpServerResponse.empty({ status: 204 }))))

const ready = Effect.fnUntraced(function*({ isDraining }: Readiness["Service"]) {
  if (!(yield* isDraining)) return HttpServerResponse.jsonUnsafe({ status: "ready" })
  return yield* HttpServerRespondable.toResponse(
    new Unavailable({ detail: "This process is stopping.", retry_after: 1 })
  )
})

/** What the video process serves. */
export const UploadRoutes = HttpRouter.use(Effect.fnUntraced(function*(router) {
  const uploads = yield* Uploads
  const readiness = yield* Readiness
  yield* router.add("PUT", uploadRoute, put(uploads))
  // The router answers HEAD by GET's handler; a GET is told the same.
  yield* router.add("GET", uploadRoute, head(uploads))
  yield* router.add("PATCH", uploadRoute, patch(uploads))
  yield* router.add("DELETE", uploadRoute, terminate(uploads))
  yield* router.add("GET", "/livez", HttpServerResponse.jsonUnsafe({ status: "alive" }))
  yield* router.add("GET", "/readyz", ready(readiness))
}))
