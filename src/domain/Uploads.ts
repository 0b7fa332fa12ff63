import { Schema } from "effect"
import { Problem } from "./Problem.ts"
import { Sha256 } from "./Video.ts"

/** How long after the end of its URL an upload that was begun may still be resumed. */
export const resumableHours = 24
/** Bytes that one member may have stored, those that are announced and have not come yet included: 20 GiB. */
export const mostStored = 21_474_836_480

/** What a sender says that the bytes of one request hash to. */
export interface Checksum {
  readonly algorithm: "sha1" | "sha256"
  readonly digest: string
}

export class UploadUrlInvalid extends Problem<UploadUrlInvalid>()("UploadUrlInvalid", {
  type: "/problems/upload-url-invalid",
  status: 403,
  title: "The upload URL is not one that Midnight gave out"
}, { code: Schema.tag("UploadUrlInvalid") }) {}

export class UploadUrlExpired extends Problem<UploadUrlExpired>()("UploadUrlExpired", {
  type: "/problems/upload-url-expired",
  status: 403,
  title: "The upload URL has expired"
}, { code: Schema.tag("UploadUrlExpired") }) {}

export class UploadSizeMismatch extends Problem<UploadSizeMismatch>()("UploadSizeMismatch", {
  type: "/problems/upload-size-mismatch",
  status: 422,
  title: "The upload has fewer bytes than were announced"
}, { code: Schema.tag("UploadSizeMismatch"), expected_bytes: Schema.Int, received_bytes: Schema.Int }) {}

export class UploadDigestMismatch extends Problem<UploadDigestMismatch>()("UploadDigestMismatch", {
  type: "/problems/upload-digest-mismatch",
  status: 422,
  title: "The upload's bytes do not have the digest that was announced"
}, { code: Schema.tag("UploadDigestMismatch"), expected_sha256: Sha256, received_sha256: Sha256 }) {}

export class StorageFull extends Problem<StorageFull>()("StorageFull", {
  type: "/problems/storage-full",
  status: 507,
  title: "There is no room for the upload"
}, { code: Schema.tag("StorageFull") }) {}

/** A sender that is too slow holds a place that another could use. */
export class UploadTooSlow extends Problem<UploadTooSlow>()("UploadTooSlow", {
  type: "/problems/upload-too-slow",
  status: 408,
  title: "The bytes came too slowly"
}, { code: Schema.tag("UploadTooSlow") }) {}

export class UploadOffsetMismatch extends Problem<UploadOffsetMismatch>()("UploadOffsetMismatch", {
  type: "/problems/upload-offset-mismatch",
  status: 409,
  title: "The upload does not go on at this offset"
}, { code: Schema.tag("UploadOffsetMismatch"), upload_offset: Schema.Int }) {}

export class UploadComplete extends Problem<UploadComplete>()("UploadComplete", {
  type: "/problems/upload-complete",
  status: 409,
  title: "The upload is complete and cannot be taken back"
}, { code: Schema.tag("UploadComplete") }) {}

export class UploadChecksumMismatch extends Problem<UploadChecksumMismatch>()("UploadChecksumMismatch", {
  type: "/problems/upload-checksum-mismatch",
  status: 460,
  title: "The bytes do not have the checksum that was sent with them"
}, { code: Schema.tag("UploadChecksumMismatch") }) {}

export class TusVersionUnsupported extends Problem<TusVersionUnsupported>()("TusVersionUnsupported", {
  type: "/problems/tus-version-unsupported",
  status: 412,
  title: "Tus-Resumable must be 1.0.0"
}, { code: Schema.tag("TusVersionUnsupported") }) {}

/** The API's refusal to announce one more upload. */
export class UploadQuotaReached extends Problem<UploadQuotaReached>()("UploadQuotaReached", {
  type: "/problems/upload-quota-reached",
  status: 409,
  title: "You have as many bytes stored as one member may have"
}, { code: Schema.tag("UploadQuotaReached"), limit_bytes: Schema.Int, stored_bytes: Schema.Int }) {}

/** What only the upload server answers: its routes are not in the API's contract, its problems are explained there. */
export const uploadProblems = [
  UploadUrlInvalid,
  UploadUrlExpired,
  UploadSizeMismatch,
  UploadDigestMismatch,
  StorageFull,
  UploadTooSlow,
  UploadOffsetMismatch,
  UploadComplete,
  UploadChecksumMismatch,
  TusVersionUnsupported
] as const
