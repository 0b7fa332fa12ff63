import type { Answer, FakeRequest } from "./FakeServer.ts"

export type Body = Readonly<Record<string, unknown>>
export interface Route {
  readonly method: string
  readonly pattern: RegExp
  act(body: Body, id: string, request: FakeRequest): Answer
}

export const ok = (message: string, data: unknown, more: object = {}): Answer => ({
  status: 200,
  body: { status: true, message, data, ...more }
})
export const fail = (status: number, message: string, code?: string): Answer => ({
  status,
  body: { status: false, message, ...(code === undefined ? {} : { type: "validation_error", code }) }
})
export const now = () => new Date().toISOString()
export const text = (value: unknown): string => typeof value === "string" ? value : ""
export const currencies = ["NGN", "GHS", "ZAR", "KES", "USD"]
/** Subunits, as a number or as digits; undefined when it is neither. */
export const subunits = (value: unknown): number | undefined => {
  const amount = Number(value)
  return (typeof value === "number" || typeof value === "string") && Number.isSafeInteger(amount) && amount > 0
    ? amount
    : undefined
}

export const paged = <A extends { readonly createdAt: string }>(
  rows: Iterable<A>,
  { query }: FakeRequest,
  show: (row: A) => object
): Answer => {
  const perPage = Number(query.get("perPage") ?? 50)
  const page = Number(query.get("page") ?? 1)
  if (!(perPage >= 1 && perPage <= 100 && page >= 1)) return fail(400, "perPage is from 1 to 100, page from 1")
  const from = Date.parse(query.get("from") ?? "1970-01-01")
  const all = [...rows].toReversed().filter((row) => Date.parse(row.createdAt) >= from)
  const pageCount = Math.max(1, Math.ceil(all.length / perPage))
  const data = all.slice((page - 1) * perPage, page * perPage).map(show)
  return ok("Retrieved", data, { meta: { total: all.length, perPage, page, pageCount } })
}
