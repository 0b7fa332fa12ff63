import { HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import { WebhookEndpointId } from "../domain/Ids.ts"
import { pageOf, pageQuery } from "../domain/Page.ts"
import { Forbidden, InvalidRequest, NotFound, Unavailable } from "../domain/Problem.ts"
import { deliveryQuery, WebhookDelivery, WebhookEventId } from "../domain/WebhookDeliveries.ts"
import {
  WebhookEndpointChange,
  WebhookEndpointDisabled,
  WebhookEndpointLimit,
  WebhookEndpointRequest,
  WebhookEndpointView,
  WebhookEndpointWithSecret,
  WebhookUrlNotAllowed
} from "../domain/WebhookEndpoints.ts"
import { Admission } from "./middleware/Admission.ts"
import { Authorization } from "./middleware/Authorization.ts"
import { RateLimit } from "./middleware/RateLimit.ts"
import { AccessPolicy } from "./middleware/RoleRequired.ts"

const params = { id: WebhookEndpointId }
const path = "/api/webhook-endpoints"

const create = HttpApiEndpoint.post("create", path, {
  payload: WebhookEndpointRequest,
  success: WebhookEndpointWithSecret.pipe(HttpApiSchema.status(201)),
  error: [WebhookUrlNotAllowed, WebhookEndpointLimit, Forbidden, Unavailable]
}).annotate(OpenApi.Description, "The secret is shown this once. The scope `all` is for administrators.")

const list = HttpApiEndpoint.get("list", path, {
  query: pageQuery,
  success: pageOf(WebhookEndpointView),
  error: [InvalidRequest, Unavailable]
})

const find = HttpApiEndpoint.get("find", `${path}/:id`, {
  params,
  success: WebhookEndpointView,
  error: [NotFound, Unavailable]
})

const edit = HttpApiEndpoint.patch("edit", `${path}/:id`, {
  params,
  payload: WebhookEndpointChange,
  success: WebhookEndpointView,
  error: [WebhookUrlNotAllowed, NotFound, Unavailable]
}).annotate(OpenApi.Description, "Enabling it again forgets how often it failed.")

const remove = HttpApiEndpoint.delete("remove", `${path}/:id`, {
  params,
  success: HttpApiSchema.NoContent,
  error: [NotFound, Unavailable]
})

const rotate = HttpApiEndpoint.post("rotate", `${path}/:id/rotate-secret`, {
  params,
  success: WebhookEndpointWithSecret,
  error: [NotFound, Unavailable]
}).annotate(OpenApi.Description, "For 24 hours the secret before signs too. The new one is shown this once.")

const deliveries = HttpApiEndpoint.get("deliveries", `${path}/:id/deliveries`, {
  params,
  query: deliveryQuery,
  success: pageOf(WebhookDelivery),
  error: [InvalidRequest, NotFound, Unavailable]
}).annotate(OpenApi.Description, "Newest first; those of the last thirty days.")

const redeliver = HttpApiEndpoint.post("redeliver", `${path}/:id/deliveries/:eventId/redeliver`, {
  params: { ...params, eventId: WebhookEventId },
  success: WebhookDelivery.pipe(HttpApiSchema.status(202)),
  error: [NotFound, WebhookEndpointDisabled, Unavailable]
}).annotate(OpenApi.Description, "Sends it again, under the same webhook-id, with all attempts before it.")

export class WebhookEndpointsApi extends HttpApiGroup.make("webhookEndpoints")
  .add(create, list, find, edit, remove, rotate, deliveries, redeliver)
  .annotateEndpoints(AccessPolicy, "signedIn")
  .middleware(Admission)
  .middleware(RateLimit)
  .middleware(Authorization)
  .annotateMerge(OpenApi.annotations({ description: "Events out, signed as Standard Webhooks has it" }))
{}
