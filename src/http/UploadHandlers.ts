import { DateTime, Effect, Option, Schema } from "effect"
import { HttpRouter, HttpServerRequest, HttpServerRespondable, HttpServerResponse } from "effect/http"
import { VideoId } from "../domain/Ids.ts"
import { Unavailable } from "../domain/Problem.ts"
import { UploadUrlInvalid } from "../domain/Video.ts"
import { Readiness } from "../services/Readiness.ts"
import { Uploads } from "../services/Uploads.ts"

export const uploadRoute = "/uploads/:videoId"

const Path = Schema.Struct({ videoId: VideoId })
const whole = Schema.String.check(Schema.isPattern(/^[1-9][0-9]{0,11}$/)).pipe(Schema.decodeTo(Schema.FiniteFromString))
const Query = Schema.Struct({ bytes: whole, expires: whole, signature: Schema.String.check(Schema.isMaxLength(64)) })

const malformed = new UploadUrlInvalid({ detail: "Use the URL as it was given." })

/** The signed URL is the permission: browsers and apps send the bytes here without a token. */
const put = Effect.fnUntraced(
  function*(uploads: Uploads["Service"]) {
    const request = yield* HttpServerRequest.HttpServerRequest
    const read = Effect.all([HttpRouter.schemaPathParams(Path), HttpServerRequest.schemaSearchParams(Query)])
    const [{ videoId }, { bytes, expires, signature }] = yield* Effect.mapError(read, () => malformed)
    const length = request.headers["content-length"]
    const answer = yield* uploads.receive({
      videoId,
      bytes,
      expiresAt: DateTime.makeUnsafe(expires * 1_000),
      signature,
      declaredBytes: length === undefined ? Option.none() : Option.some(Number(length)),
      body: request.stream
    })
    return HttpServerResponse.jsonUnsafe(answer)
  },
  Effect.catch(HttpServerRespondable.toResponse)
)

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
  yield* router.add("GET", "/livez", HttpServerResponse.jsonUnsafe({ status: "alive" }))
  yield* router.add("GET", "/readyz", ready(readiness))
}))
