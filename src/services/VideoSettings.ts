import { Context } from "effect"
import { mostStored } from "../domain/Uploads.ts"
import { mostUnfinished, mostWaiting } from "../domain/Video.ts"

/** What a deployment may set of uploads and verification. Read when layers are built. */
export interface VideoFigures {
  /** Submissions that wait to be verified; more are refused. */
  readonly mostWaiting: number
  /** Uploads of one member that are not finished. */
  readonly mostUnfinished: number
  /** Bytes that one member may have stored. */
  readonly mostStored: number
  /** Bodies that one process takes at once. */
  readonly mostAtOnce: number
}

export const defaultVideoFigures: VideoFigures = { mostWaiting, mostUnfinished, mostStored, mostAtOnce: 64 }

export const VideoSettings = Context.Reference<VideoFigures>("midnight/services/video/VideoSettings", {
  defaultValue: () => defaultVideoFigures
})
