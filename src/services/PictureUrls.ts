import { Context, DateTime, Effect, Layer, Option, Redacted } from "effect"
import { Mac } from "effect/crypto"
import { Base64Url } from "effect/encoding"
import type { VideoId } from "../domain/Ids.ts"
import { type PictureKind, pictureUrlMinutes } from "../domain/Pictures.ts"

/** What a picture's URL grants: one picture of one video, for a while. */
export interface PictureGrant {
  readonly videoId: VideoId
  readonly kind: PictureKind
  readonly expiresAt: DateTime.Utc
}

/** Where a submission's pictures are, for whoever may see the submission; neither before there are any. */
export interface PictureLinks {
  readonly thumbnailUrl?: string
  readonly contactSheetUrl?: string
}

const seconds = (at: DateTime.Utc) => Math.floor(DateTime.toEpochMillis(at) / 1_000)
const text = new TextEncoder()

// The purpose comes first, as in an upload's URL: neither signature passes for the other.
const message = ({ expiresAt, kind, videoId }: PictureGrant) =>
  text.encode(`midnight-picture\n${videoId}\n${kind}\n${seconds(expiresAt)}`)

/** Signed URLs of pictures: the API makes them for those who may look, and the video process serves what they name. */
export class PictureUrls extends Context.Service<PictureUrls, {
  /** Whoever calls this has made sure that the links go to the owner, the campaign's sponsor or a reviewer. */
  of(submission: { readonly videoId: VideoId; readonly hasPictures: boolean }): Effect.Effect<PictureLinks>
  /** Whether the signature is ours for exactly this grant; says nothing of the time. */
  verify(grant: PictureGrant, signature: string): Effect.Effect<boolean>
}>()("midnight/services/video/PictureUrls") {
  /** `base` is the video process's public URL. */
  static readonly layer = (options: { readonly secret: Redacted.Redacted<string>; readonly base: string }) =>
    Layer.effect(
      PictureUrls,
      Effect.gen(function*() {
        const mac = yield* Mac.Mac
        const key = yield* Effect.orDie(Mac.key(Mac.hmacSha256, text.encode(Redacted.value(options.secret))))
        const base = options.base.replace(/\/+$/, "")

        const make = Effect.fnUntraced(function*(grant: PictureGrant) {
          const signature = Base64Url.encode(yield* Effect.orDie(mac.sign(key, message(grant))))
          const query = `expires=${seconds(grant.expiresAt)}&signature=${signature}`
          return `${base}/pictures/${grant.videoId}/${grant.kind}?${query}`
        })

        const of = Effect.fnUntraced(
          function*({ hasPictures, videoId }: { readonly videoId: VideoId; readonly hasPictures: boolean }) {
            if (!hasPictures) return {}
            const expiresAt = DateTime.add(yield* DateTime.now, { minutes: pictureUrlMinutes })
            return {
              thumbnailUrl: yield* make({ videoId, kind: "thumbnail", expiresAt }),
              contactSheetUrl: yield* make({ videoId, kind: "contact-sheet", expiresAt })
            }
          }
        )

        const verify = Effect.fnUntraced(function*(grant: PictureGrant, signature: string) {
          const tag = Option.getSuccess(Base64Url.decode(signature))
          if (Option.isNone(tag)) return false
          return yield* Effect.orDie(mac.verify(key, tag.value, message(grant)))
        })

        return PictureUrls.of({ of, verify })
      })
    )
}
