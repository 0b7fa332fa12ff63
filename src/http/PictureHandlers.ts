import { DateTime, Effect, Schema } from "effect"
import { HttpRouter, HttpServerRequest, HttpServerRespondable, HttpServerResponse } from "effect/http"
import { VideoId } from "../domain/Ids.ts"
import { pictureKinds } from "../domain/Pictures.ts"
import { NotFound } from "../domain/Problem.ts"
import { Pictures } from "../services/Pictures.ts"

const Path = Schema.Struct({ videoId: VideoId, kind: Schema.Literals(pictureKinds) })
const Query = Schema.Struct({
  expires: Schema.String.check(Schema.isPattern(/^[1-9][0-9]{0,11}$/)).pipe(Schema.decodeTo(Schema.FiniteFromString)),
  signature: Schema.String.check(Schema.isMaxLength(64))
})

const malformed = new NotFound({ detail: "There is no picture here. Use the URL as it was given." })

const get = Effect.fnUntraced(function*(pictures: Pictures["Service"]) {
  const read = Effect.all([HttpRouter.schemaPathParams(Path), HttpServerRequest.schemaSearchParams(Query)])
  const [{ kind, videoId }, { expires, signature }] = yield* Effect.mapError(read, () => malformed)
  const jpeg = yield* pictures.read({ videoId, kind, expiresAt: DateTime.makeUnsafe(expires * 1_000) }, signature)
  return HttpServerResponse.uint8Array(jpeg, {
    contentType: "image/jpeg",
    headers: {
      // A page of the app, which is on another origin, shows it; whoever has the URL may.
      "cross-origin-resource-policy": "cross-origin",
      "cache-control": "private, max-age=300"
    }
  })
}, Effect.catch(HttpServerRespondable.toResponse))

/** The pictures of videos, on the video process. */
export const PictureRoutes = HttpRouter.use(Effect.fnUntraced(function*(router) {
  yield* router.add("GET", "/pictures/:videoId/:kind", get(yield* Pictures))
}))
