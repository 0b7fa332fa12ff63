import { Effect, Option } from "effect"
import { HttpApiBuilder, HttpApiSchema } from "effect/http-api"
import { CurrentUser } from "../domain/Principal.ts"
import { Reviews } from "../services/Reviews.ts"
import { Videos } from "../services/Videos.ts"
import { Api } from "./Api.ts"

const defaultLimit = 20

export const VideoHandlers = HttpApiBuilder.group(
  Api,
  "video",
  Effect.fnUntraced(function*(handlers) {
    const videos = yield* Videos
    const reviews = yield* Reviews
    return handlers.handleAll({
      createUpload: ({ payload }) => Effect.flatMap(CurrentUser, ({ userId }) => videos.createUpload(userId, payload)),
      verify: ({ payload }) =>
        Effect.map(videos.verify(payload), (submission) =>
          HttpApiSchema.withHeaders({
            body: submission,
            headers: { location: `/api/video/submissions/${submission.id}` }
          })),
      submissions: ({ query }) =>
        Effect.flatMap(
          CurrentUser,
          ({ userId }) => videos.submissions(userId, Option.fromUndefinedOr(query.cursor), query.limit ?? defaultLimit)
        ),
      submission: ({ params }) => Effect.flatMap(CurrentUser, ({ userId }) => videos.submission(userId, params.id)),
      campaignSubmissions: ({ params, query }) =>
        Effect.flatMap(CurrentUser, ({ userId }) =>
          reviews.ofCampaign({
            campaignId: params.id,
            sponsor: userId,
            cursor: query.cursor,
            limit: query.limit ?? defaultLimit
          }))
    })
  })
)
