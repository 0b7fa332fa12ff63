import { HttpApi, HttpApiEndpoint, HttpApiGroup, OpenApi } from "effect/http-api"
import * as Problem from "../domain/Problem.ts"
import { uploadProblems } from "../domain/Uploads.ts"

// The edge answers these for any route, so no route names them.
const anywhere = HttpApi.make("anywhere").add(
  HttpApiGroup.make("anywhere").add(
    HttpApiEndpoint.get("any", "/", {
      error: [
        Problem.InvalidRequest,
        Problem.NotFound,
        Problem.MethodNotAllowed,
        Problem.PayloadTooLarge,
        Problem.UnsupportedMediaType,
        Problem.InternalError,
        Problem.Unavailable
      ]
    })
  )
)

/** What any route can answer, as a document of its own. */
export const edgeDocument = OpenApi.fromApi(anywhere)

/** What only the upload server answers, beside what any route can. */
export const uploadDocument = OpenApi.fromApi(
  HttpApi.make("uploads").add(
    HttpApiGroup.make("uploads").add(HttpApiEndpoint.put("send", "/uploads/:videoId", { error: uploadProblems }))
  )
)

/** What is answered before a request has a route, and so stands in no route's contract. */
export const protocolDocument = OpenApi.fromApi(
  HttpApi.make("protocol").add(
    HttpApiGroup.make("protocol").add(
      HttpApiEndpoint.get("any", "/", {
        error: [
          Problem.MalformedHttp,
          Problem.RequestTimeout,
          Problem.ExpectationFailed,
          Problem.HeadersTooLarge,
          Problem.Refused
        ]
      })
    )
  )
)

type Operation = OpenApi.OpenAPISpecOperation
type Schemas = OpenApi.OpenAPIComponents["schemas"]
const media = "application/problem+json"

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** One more problem among those that an operation answers with this status. */
const answering = (responses: OpenApi.OpenAPISpecResponses, status: 400 | 413 | 415 | 500) => {
  const edge = edgeDocument.paths["/"]?.get?.responses[status]
  const more = edge?.content?.[media]?.schema
  if (edge === undefined || more === undefined) return responses
  const before = responses[status]
  const known = before?.content?.[media]?.schema
  const all = known === undefined ? [] : Array.isArray(known["anyOf"]) ? known["anyOf"] : [known]
  if (all.some((one: unknown) => JSON.stringify(one) === JSON.stringify(more))) return responses
  return {
    ...responses,
    [status]: {
      description: before === undefined ? edge.description : `${before.description} | ${edge.description}`,
      content: { ...before?.content, [media]: { schema: all.length === 0 ? more : { anyOf: [...all, more] } } }
    }
  }
}

const idempotencyKey: OpenApi.OpenAPISpecParameter = {
  name: "Idempotency-Key",
  in: "header",
  required: true,
  description: "New for each new request; a repetition with the same key and body answers what the first one did.",
  schema: { type: "string", minLength: 1, maxLength: 257 }
}

// A query is text, so the schema of a number in it describes its digits; clients are generated from the number.
const asNumber = (parameter: OpenApi.OpenAPISpecParameter): OpenApi.OpenAPISpecParameter =>
  parameter.in === "query" && parameter.name === "limit"
    ? { ...parameter, schema: { type: "integer", minimum: 1, maximum: 100, default: 20 } }
    : parameter

const completeOperation = (operation: Operation): Operation => {
  // The errors of the Idempotency middleware are how a document shows which routes it stands before. It reads whatever comes as a body.
  const isKeyed = JSON.stringify(operation.responses).includes("IdempotencyKeyInvalid")
  const hasBody = operation.requestBody !== undefined || isKeyed
  const hasInput = hasBody || operation.parameters.length > 0
  const statuses = [...(hasInput ? [400 as const] : []), ...(hasBody ? [413 as const, 415 as const] : []), 500 as const]
  return {
    ...operation,
    parameters: [...operation.parameters.map(asNumber), ...(isKeyed ? [idempotencyKey] : [])],
    responses: statuses.reduce(answering, operation.responses)
  }
}

const methods = ["get", "post", "put", "patch", "delete"] as const

const completePath = (item: OpenApi.OpenAPISpecPathItem): OpenApi.OpenAPISpecPathItem => {
  const operations = methods.flatMap((method) => {
    const operation = item[method]
    return operation === undefined ? [] : [[method, completeOperation(operation)] as const]
  })
  return { ...item, ...Object.fromEntries(operations) }
}

/** A problem as it leaves the edge, which adds to what the error itself has. */
const completeProblem = (schema: Schemas[string]): Schemas[string] => {
  const { properties } = schema
  if (!isRecord(properties) || !JSON.stringify(properties["type"] ?? "").includes("\"/problems/")) return schema
  const own = Array.isArray(schema["required"]) ? schema["required"] : []
  const always = ["type", "title", "status", "detail", "instance", "code", "request_id", "trace_id"]
  return {
    ...schema,
    properties: { ...properties, request_id: { type: "string" }, trace_id: { type: "string" } },
    required: [...new Set([...own, ...always])]
  }
}

const mapValues = <A>(record: Readonly<Record<string, A>>, f: (value: A) => A): Record<string, A> =>
  Object.fromEntries(Object.entries(record).map(([name, value]) => [name, f(value)]))

/**
 * What the contract's types cannot say and its clients must know: the Idempotency-Key of routes that keep one, the problems
 * that the edge answers for any route, and the members that it adds to every problem.
 */
export const completeDocument = (paths: OpenApi.OpenAPISpecPaths, components: OpenApi.OpenAPIComponents) => ({
  paths: mapValues(paths, completePath),
  components: {
    ...components,
    schemas: mapValues({ ...edgeDocument.components.schemas, ...components.schemas }, completeProblem)
  }
})
