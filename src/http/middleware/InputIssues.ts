import { type Schema, SchemaIssue } from "effect"
import type { HttpApiError } from "effect/http-api"
import { InvalidRequest } from "../../domain/Problem.ts"

// A hostile body can be wrong in ten thousand places, with keys as long as the body; the answer stays small.
const maxIssues = 20
const maxText = 300

const roots = { Params: "/path", Query: "/query", Headers: "/headers", Payload: "/body", Body: "", ResponseHeaders: "" }

const escape = (segment: PropertyKey) => String(segment).replaceAll("~", "~0").replaceAll("/", "~1")

const unknownProperty = (issue: SchemaIssue.UnexpectedKey): string => {
  const known = issue.ast._tag === "Objects" ? issue.ast.propertySignatures.map(({ name }) => String(name)) : []
  return known.length === 0 ? "Unknown property" : `Unknown property; known are ${known.join(", ")}`
}

const format = SchemaIssue.makeFormatterStandardSchemaV1({
  leafHook: (issue) =>
    issue._tag === "UnexpectedKey"
      ? unknownProperty(issue)
      : issue._tag === "MissingKey"
      ? "This is required"
      : SchemaIssue.defaultLeafHook(issue)
})

const key = (segment: PropertyKey | { readonly key: PropertyKey }) =>
  typeof segment === "object" ? segment.key : segment

/** Which places of the input are wrong and what is allowed there. Never repeats the value, which may be a secret. */
export const invalidRequest = (
  kind: HttpApiError.HttpApiSchemaError["kind"],
  error: Schema.SchemaError
): InvalidRequest =>
  new InvalidRequest({
    errors: format(error.issue).issues.slice(0, maxIssues).map(({ message, path = [] }) => ({
      pointer: `${roots[kind]}${path.map((segment) => `/${escape(key(segment))}`).join("")}`.slice(0, maxText),
      detail: message.slice(0, maxText)
    }))
  })
