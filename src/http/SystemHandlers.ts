import { DateTime, Effect, Layer } from "effect"
import { HttpRouter, HttpServerResponse } from "effect/http"
import { HttpApi, HttpApiBuilder, HttpApiScalar, OpenApi } from "effect/http-api"
import { MoneyCannotMove, moneyMoves, overall } from "../domain/Health.ts"
import { NotFound, Unavailable } from "../domain/Problem.ts"
import { Health } from "../services/Health.ts"
import { Readiness } from "../services/Readiness.ts"
import { Api } from "./Api.ts"
import { catalogue } from "./ProblemCatalogue.ts"
import { SystemApi } from "./SystemApi.ts"

const version = "0.1.0"

// The same identifiers as in Api, so these handlers serve the group there.
const System = HttpApi.make("midnight").add(SystemApi)

export const SystemHandlers = HttpApiBuilder.group(
  System,
  "system",
  Effect.fn(function*(handlers) {
    const readiness = yield* Readiness
    const health = yield* Health
    const meanings = catalogue(OpenApi.fromApi(Api))
    return handlers.handleAll({
      health: Effect.fnUntraced(function*() {
        const services = yield* health.snapshot
        if (!moneyMoves(services)) return yield* new MoneyCannotMove({ retry_after: 1, services })
        return { status: overall(services), timestamp: yield* DateTime.now, version, services }
      }),
      livez: () => Effect.succeed({ status: "alive" as const }),
      readyz: Effect.fnUntraced(function*() {
        if (yield* readiness.isDraining) {
          return yield* new Unavailable({ retry_after: 1, detail: "This process is stopping." })
        }
        return { status: "ready" as const }
      }),
      problem: Effect.fnUntraced(function*({ params }) {
        const meaning = meanings.get(params.code)
        if (meaning === undefined) {
          return yield* new NotFound({ detail: `Known are ${[...meanings.keys()].sort().join(", ")}.` })
        }
        return meaning
      })
    })
  })
)

// The page carries its script inline and calls this server alone; nothing is loaded from elsewhere, fonts included.
const pageHeaders = {
  "content-security-policy": "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    + "img-src 'self' data:; font-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    + "frame-ancestors 'none'",
  "cache-control": "public, max-age=300"
}

const asPage = HttpRouter.middleware((app) => Effect.map(app, HttpServerResponse.setHeaders(pageHeaders))).layer

const document = HttpRouter.use((router) =>
  router.add(
    "GET",
    "/openapi.json",
    HttpServerResponse.jsonUnsafe(OpenApi.fromApi(Api), { headers: { "cache-control": "public, max-age=300" } })
  )
)

/** `/openapi.json`, and `/docs`, which shows it. */
export const DocumentationRoutes = Layer.mergeAll(
  document,
  HttpApiScalar.layer(Api, { path: "/docs", scalar: { withDefaultFonts: false, hideModels: true } }).pipe(
    Layer.provide(asPage)
  )
)
