import { Context } from "effect"
import { HttpApiMiddleware } from "effect/http-api"
import { Unavailable } from "../../domain/Problem.ts"

/** Classes of work in their order of priority (docs/security.md): under overload the later ones are turned away first. */
export type WorkClass = "payments" | "auth" | "reads" | "video"

export const AdmissionClass = Context.Reference<WorkClass>("midnight/http/AdmissionClass", {
  defaultValue: () => "reads"
})

/**
 * Milliseconds within which an endpoint answers, its body's arrival and its wait for a place included. It costs a timer for
 * each request, so the paths that money takes have none: what they wait for has limits of its own.
 */
export const AnsweredWithin = Context.Reference<number | undefined>("midnight/http/AnsweredWithin", {
  defaultValue: () => undefined
})

/** Proof that the request was given one of the bounded places of its class. */
export class Admitted
  extends Context.Service<Admitted, { readonly workClass: WorkClass }>()("midnight/http/Admitted")
{}

/** A bounded number of requests of a class at once, a bounded queue for the rest, 503 with Retry-After beyond that. */
export class Admission extends HttpApiMiddleware.Service<Admission, {
  provides: Admitted
}>()("midnight/http/Admission", { error: Unavailable }) {}
