import { Option, Schema } from "effect"
import type { OpenApi } from "effect/http-api"
import { edgeDocument, protocolDocument, uploadDocument } from "./OpenApiDocument.ts"
import type { ProblemMeaning } from "./SystemApi.ts"

const constant = <S extends Schema.Constraint>(value: S) => Schema.Struct({ enum: Schema.Tuple([value]) })

// How a problem looks among the schemas of an OpenAPI document.
const ProblemSchema = Schema.Struct({
  properties: Schema.StructWithRest(
    Schema.Struct({
      type: constant(Schema.String),
      title: constant(Schema.String),
      status: constant(Schema.Int),
      code: constant(Schema.String)
    }),
    [Schema.Record(Schema.String, Schema.Unknown)]
  )
})
const decode = Schema.decodeUnknownOption(ProblemSchema)

const standard = new Set(["type", "title", "status", "detail", "instance", "code", "request_id", "trace_id"])

const advice = (status: number): string => {
  if (status === 429 || status === 503) {
    return "Wait as long as Retry-After says, then send the same request with the same Idempotency-Key."
  }
  if (status >= 500) {
    return "Send the same request again with the same Idempotency-Key; if it stays, report the request_id."
  }
  if (status === 401) return "Sign in or refresh the access token, then send the request again."
  return "Change the request; the same one would be refused again."
}

const methods = ["get", "post", "put", "patch", "delete"] as const

const inDocument = (document: OpenApi.OpenAPISpec, named: boolean): ReadonlyArray<ProblemMeaning> => {
  const operations = Object.entries(document.paths).flatMap(([path, item]) =>
    methods.flatMap((method) => {
      const operation = item[method]
      return operation === undefined
        ? []
        : [{ route: `${method.toUpperCase()} ${path}`, responses: JSON.stringify(operation.responses) }]
    })
  )
  return Object.entries(document.components.schemas).flatMap(([name, schema]) =>
    Option.match(decode(schema), {
      onNone: () => [],
      onSome: ({ properties: { code, status, title, type, ...own } }) => [{
        type: type.enum[0],
        title: title.enum[0],
        status: status.enum[0],
        code: code.enum[0],
        advice: advice(status.enum[0]),
        members: Object.keys(own).filter((member) => !standard.has(member)),
        routes: named
          ? operations.filter(({ responses }) => responses.includes(`/${name}"`)).map(({ route }) => route)
          : []
      }]
    })
  )
}

/** Every problem an API can answer, by the last part of its type: taken from the contract, so that none is forgotten. */
export const catalogue = (document: OpenApi.OpenAPISpec): ReadonlyMap<string, ProblemMeaning> =>
  new Map(
    [
      ...[edgeDocument, protocolDocument, uploadDocument].flatMap((one) => inDocument(one, false)),
      ...inDocument(document, true)
    ].map((meaning) => [meaning.type.replace("/problems/", ""), meaning])
  )
