import { Schema } from "effect"
import { HttpApiEndpoint, HttpApiGroup, OpenApi } from "effect/http-api"
import { HealthView, MoneyCannotMove } from "../domain/Health.ts"
import { NotFound, Unavailable } from "../domain/Problem.ts"
import { AccessPolicy } from "./middleware/RoleRequired.ts"

/** What an error means, found under its `type`. */
export const ProblemMeaning = Schema.Struct({
  type: Schema.String,
  title: Schema.String,
  status: Schema.Int,
  code: Schema.String,
  /** What a caller should do about it. */
  advice: Schema.String,
  /** Members this problem has beside those that all problems have. */
  members: Schema.Array(Schema.String),
  /** Routes that name it among their answers; empty for what any route can answer. */
  routes: Schema.Array(Schema.String)
}).annotate({ identifier: "ProblemMeaning" })
export type ProblemMeaning = typeof ProblemMeaning.Type

export class SystemApi extends HttpApiGroup.make("system")
  .add(HttpApiEndpoint.get("health", "/health", { success: HealthView, error: MoneyCannotMove }))
  .add(HttpApiEndpoint.get("livez", "/livez", { success: Schema.Struct({ status: Schema.Literal("alive") }) }))
  .add(HttpApiEndpoint.get("readyz", "/readyz", {
    success: Schema.Struct({ status: Schema.Literal("ready") }),
    error: Unavailable
  }))
  .add(HttpApiEndpoint.get("problem", "/problems/:code", {
    params: { code: Schema.String },
    success: ProblemMeaning,
    error: NotFound
  }))
  .annotateEndpoints(AccessPolicy, "anyone")
  .annotateMerge(OpenApi.annotations({ title: "System", description: "Probes, and what errors mean" }))
{}
