import { Schema } from "effect"
import { HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import { CampaignId, SubmissionId } from "../domain/Ids.ts"
import { pageQuery } from "../domain/Page.ts"
import { InvalidRequest, NotFound, TooManyRequests, Unavailable } from "../domain/Problem.ts"
import { CampaignFull, CampaignNotActive, MemberCapReached } from "../domain/Rewards.ts"
import { UploadQuotaReached } from "../domain/Uploads.ts"
import {
  CampaignSubmissions,
  CreateUpload,
  Submission,
  SubmissionCursor,
  SubmissionPage,
  UploadTicket,
  UploadUnfinished,
  VerifyVideo,
  VideoAlreadySubmitted
} from "../domain/Video.ts"
import { Admission, AdmissionClass } from "./middleware/Admission.ts"
import { Authorization } from "./middleware/Authorization.ts"
import { Idempotency, KeptBy } from "./middleware/Idempotency.ts"
import { unfinishedUploads, uploads } from "./middleware/Policies.ts"
import { RateLimit, RatePolicies } from "./middleware/RateLimit.ts"
import { AccessPolicy } from "./middleware/RoleRequired.ts"

const createUpload = HttpApiEndpoint.post("createUpload", "/api/video/uploads", {
  payload: CreateUpload,
  success: UploadTicket.pipe(HttpApiSchema.status(201)),
  error: [TooManyRequests, UploadQuotaReached, Unavailable]
})
  .middleware(Admission).middleware(RateLimit).middleware(Authorization)
  .annotate(RatePolicies, [uploads, unfinishedUploads])
  .annotate(AdmissionClass, "video")

const verify = HttpApiEndpoint.post("verify", "/api/video/verify", {
  payload: VerifyVideo,
  success: HttpApiSchema.WithHeaders(Submission.pipe(HttpApiSchema.status(202)), { location: Schema.String }),
  error: [
    NotFound,
    UploadUnfinished,
    VideoAlreadySubmitted,
    CampaignNotActive,
    CampaignFull,
    MemberCapReached,
    Unavailable
  ]
})
  .middleware(Idempotency).middleware(Admission).middleware(RateLimit).middleware(Authorization)
  .annotate(KeptBy, "video")
  .annotate(AdmissionClass, "video")

const submissions = HttpApiEndpoint.get("submissions", "/api/video/submissions", {
  query: {
    cursor: Schema.optionalKey(SubmissionCursor),
    limit: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 100 })))
  },
  success: SubmissionPage,
  error: Unavailable
})
  .middleware(Admission).middleware(RateLimit).middleware(Authorization)

const submission = HttpApiEndpoint.get("submission", "/api/video/submissions/:id", {
  params: { id: SubmissionId },
  success: Submission,
  error: [NotFound, Unavailable]
})
  .middleware(Admission).middleware(RateLimit).middleware(Authorization)

const campaignSubmissions = HttpApiEndpoint.get("campaignSubmissions", "/api/campaigns/:id/submissions", {
  params: { id: CampaignId },
  query: pageQuery,
  success: CampaignSubmissions,
  error: [InvalidRequest, NotFound, Unavailable]
})
  .middleware(Admission).middleware(RateLimit).middleware(Authorization)
  .annotate(OpenApi.Description, "For the campaign's sponsor: what was submitted, newest first, with its pictures.")

/** Uploads are announced here and sent to the video process; verification is asked for here and done there. */
export class VideoApi extends HttpApiGroup.make("video")
  .add(createUpload, verify, submissions, submission, campaignSubmissions)
  .annotateEndpoints(AccessPolicy, "signedIn")
{}
