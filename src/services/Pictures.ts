import { Context, DateTime, Effect, Layer, Option } from "effect"
import { NotFound, type Unavailable } from "../domain/Problem.ts"
import { withDatabase } from "./Database.ts"
import { type PictureGrant, PictureUrls } from "./PictureUrls.ts"
import { Spool } from "./Spool.ts"
import { UploadStore } from "./UploadStore.ts"

// The same for a wrong signature, an old one and a picture that is not there: who has no URL learns nothing.
const notFound = new NotFound({
  detail: "There is no picture here. Its URL comes with the submission, and does not last."
})

/** Hands out the pictures of videos, in the video process. */
export class Pictures extends Context.Service<Pictures, {
  /** A JPEG file. The signed URL is the permission. */
  read(grant: PictureGrant, signature: string): Effect.Effect<Uint8Array, NotFound | Unavailable>
}>()("midnight/services/video/Pictures") {
  static readonly layer = Layer.effect(
    Pictures,
    Effect.gen(function*() {
      const urls = yield* PictureUrls
      const uploads = yield* UploadStore
      const spool = yield* Spool

      const read = Effect.fn("Pictures.read")(function*(grant: PictureGrant, signature: string) {
        yield* Effect.annotateCurrentSpan("midnight.video.id", grant.videoId)
        const valid = yield* urls.verify(grant, signature)
        if (!valid || DateTime.isLessThanOrEqualTo(grant.expiresAt, yield* DateTime.now)) return yield* notFound
        const upload = yield* withDatabase(uploads.find(grant.videoId))
        const sha256 = Option.flatMap(upload, (row) => row.sha256)
        const picture = Option.isNone(sha256)
          ? Option.none()
          : yield* spool.picture(grant.videoId, sha256.value, grant.kind)
        return Option.isSome(picture) ? picture.value : yield* notFound
      })

      return Pictures.of({ read })
    })
  )
}
