import { HttpApiEndpoint, HttpApiGroup, OpenApi } from "effect/http-api"
import { SubmissionId } from "../domain/Ids.ts"
import { InvalidRequest, NotFound, Unavailable } from "../domain/Problem.ts"
import {
  AlreadyDecided,
  DecideSubmission,
  OwnCampaign,
  OwnSubmission,
  ReviewPage,
  reviewQuery,
  ReviewSubmission
} from "../domain/Review.ts"
import { Admission, AdmissionClass } from "./middleware/Admission.ts"
import { Authorization } from "./middleware/Authorization.ts"
import { RateLimit } from "./middleware/RateLimit.ts"
import { AccessPolicy, RoleRequired } from "./middleware/RoleRequired.ts"

const queue = HttpApiEndpoint.get("queue", "/api/review/submissions", {
  query: reviewQuery,
  success: ReviewPage,
  error: [InvalidRequest, Unavailable]
}).annotate(OpenApi.Description, "The oldest first; those that need a review unless another status is asked for.")

const decide = HttpApiEndpoint.post("decide", "/api/review/submissions/:id/decision", {
  params: { id: SubmissionId },
  payload: DecideSubmission,
  success: ReviewSubmission,
  error: [OwnSubmission, OwnCampaign, NotFound, AlreadyDecided, Unavailable]
}).annotate(AdmissionClass, "video")

export class ReviewApi extends HttpApiGroup.make("review")
  .add(queue, decide)
  .annotateEndpoints(AccessPolicy, "reviewer")
  .middleware(RoleRequired)
  .middleware(Admission)
  .middleware(RateLimit)
  .middleware(Authorization)
  .annotateMerge(OpenApi.annotations({ description: "For reviewers: what the worker was unsure of" }))
{}
