import { Context, DateTime, Effect, Layer, Option, Redacted } from "effect"
import { Mac } from "effect/crypto"
import { Base64Url } from "effect/encoding"
import type { VideoId } from "../domain/Ids.ts"

/** What an upload URL grants: the bytes of one video, so many of them, begun before it expires. */
export interface UploadGrant {
  readonly videoId: VideoId
  readonly bytes: number
  readonly expiresAt: DateTime.Utc
}

const seconds = (at: DateTime.Utc) => Math.floor(DateTime.toEpochMillis(at) / 1_000)
const text = new TextEncoder()

// The purpose comes first: a signature made under this secret for anything else can never pass for an upload's.
const message = ({ bytes, expiresAt, videoId }: UploadGrant) =>
  text.encode(`midnight-upload\n${videoId}\n${bytes}\n${seconds(expiresAt)}`)

/** Signed upload URLs. The API makes them and the video process checks them; UPLOAD_SECRET is all that the two share. */
export class UploadUrls extends Context.Service<UploadUrls, {
  make(grant: UploadGrant): Effect.Effect<string>
  /** Whether the signature is ours for exactly this grant; says nothing of the time. */
  verify(grant: UploadGrant, signature: string): Effect.Effect<boolean>
}>()("midnight/services/video/UploadUrls") {
  /** `base` is the video process's public URL. */
  static readonly layer = (options: { readonly secret: Redacted.Redacted<string>; readonly base: string }) =>
    Layer.effect(
      UploadUrls,
      Effect.gen(function*() {
        const mac = yield* Mac.Mac
        const key = yield* Effect.orDie(Mac.key(Mac.hmacSha256, text.encode(Redacted.value(options.secret))))
        const base = options.base.replace(/\/+$/, "")

        const make = Effect.fnUntraced(function*(grant: UploadGrant) {
          const signature = Base64Url.encode(yield* Effect.orDie(mac.sign(key, message(grant))))
          const query = `bytes=${grant.bytes}&expires=${seconds(grant.expiresAt)}&signature=${signature}`
          return `${base}/uploads/${grant.videoId}?${query}`
        })

        const verify = Effect.fnUntraced(function*(grant: UploadGrant, signature: string) {
          const tag = Option.getSuccess(Base64Url.decode(signature))
          if (Option.isNone(tag)) return false
          return yield* Effect.orDie(mac.verify(key, tag.value, message(grant)))
        })

        return UploadUrls.of({ make, verify })
      })
    )
}
