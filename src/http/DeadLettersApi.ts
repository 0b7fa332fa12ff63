import { HttpApiEndpoint, HttpApiGroup, OpenApi } from "effect/http-api"
import { CommandId, DeadLetterPage, deadLetterQuery, NotDead, QueueName, Requeued } from "../domain/DeadLetters.ts"
import { InvalidRequest, NotFound, Unavailable } from "../domain/Problem.ts"
import { Admission } from "./middleware/Admission.ts"
import { Authorization } from "./middleware/Authorization.ts"
import { RateLimit } from "./middleware/RateLimit.ts"
import { AccessPolicy, RoleRequired } from "./middleware/RoleRequired.ts"

const list = HttpApiEndpoint.get("list", "/api/admin/dead-letters", {
  query: deadLetterQuery,
  success: DeadLetterPage,
  error: [InvalidRequest, Unavailable]
}).annotate(OpenApi.Description, "Queue by queue, and in each the longest dead first.")

const requeue = HttpApiEndpoint.post("requeue", "/api/admin/dead-letters/:queue/:commandId/requeue", {
  params: { queue: QueueName, commandId: CommandId },
  success: Requeued,
  error: [NotFound, NotDead, Unavailable]
})

export class DeadLettersApi extends HttpApiGroup.make("deadLetters")
  .add(list, requeue)
  .annotateEndpoints(AccessPolicy, "admin")
  .middleware(RoleRequired)
  .middleware(Admission)
  .middleware(RateLimit)
  .middleware(Authorization)
  .annotateMerge(OpenApi.annotations({ description: "For administrators: commands that were given up" }))
{}
