import type { Answer, FakeRequest } from "./FakeServer.ts"
import type { Form, Parameters, StripeError } from "./StripeForm.ts"

export const fail = (status: number, error: StripeError): Answer => ({ status, body: { error } })
export const missing = (what: string, id: string): Answer =>
  fail(404, {
    type: "invalid_request_error",
    code: "resource_missing",
    message: `No such ${what}: '${id}'`,
    param: "id"
  })
export const invalid = (code: string, message: string, param?: string): Answer =>
  fail(400, { type: "invalid_request_error", code, message, ...(param === undefined ? {} : { param }) })

export interface Route {
  readonly method: string
  readonly pattern: RegExp
  readonly parameters: Parameters
  act(form: Form, id: string, request: FakeRequest): Answer
}

/** One page of what there is, newest first, after the row that `starting_after` names. */
export const pageOf = <A extends { readonly id: string; readonly created: number }>(
  rows: Iterable<A>,
  form: Form,
  url: string,
  show: (row: A) => object
): Answer => {
  const limit = Number(form.get("limit") ?? 10)
  if (limit < 1 || limit > 100) return invalid("parameter_invalid_integer", "limit is from 1 to 100", "limit")
  const least = Number(form.get("created[gte]") ?? 0)
  const all = [...rows].toReversed().filter((row) => row.created >= least)
  const after = form.get("starting_after")
  const start = after === undefined ? 0 : all.findIndex((row) => row.id === after) + 1
  if (after !== undefined && start === 0) return missing("object", after)
  const data = all.slice(start, start + limit).map(show)
  return { status: 200, body: { object: "list", url, has_more: all.length > start + limit, data } }
}
