import type { Random } from "../chaos/bank/Random.ts"
import { bodyOf, type Json, listOf, objectOf, pick, type Seen, valueOf, wrongText } from "./Values.ts"

export const roles = ["nobody", "member", "sponsor", "reviewer", "admin"] as const
export type Role = (typeof roles)[number]

export interface Operation {
  readonly method: string
  readonly template: string
  readonly parameters: ReadonlyArray<Json>
  readonly body: { readonly media: string; readonly schema: Json } | undefined
}

export const operationsOf = (document: Json): ReadonlyArray<Operation> =>
  Object.entries(objectOf(document["paths"])).flatMap(([template, item]) =>
    Object.entries(objectOf(item)).map(([method, one]) => {
      const operation = objectOf(one)
      const content = Object.entries(objectOf(objectOf(operation["requestBody"])["content"]))[0]
      return {
        method: method.toUpperCase(),
        template,
        parameters: listOf(operation["parameters"]).map(objectOf),
        body: content === undefined
          ? undefined
          : { media: content[0], schema: objectOf(objectOf(content[1])["schema"]) }
      }
    })
  )

export interface Wanted {
  readonly operation: Operation
  readonly role: Role
  readonly method: string
  readonly path: string
  readonly headers: ReadonlyArray<readonly [name: string, value: string]>
  readonly body: Buffer
  /** Nothing but the operation itself can answer: its path, method and HTTP are what the document says. */
  readonly strict: boolean
}

const hostile = (random: Random): string =>
  pick(random, [
    "%00",
    "%2e%2e",
    "%2F",
    "%ff",
    "%zz",
    "%",
    "%c0%80",
    "%ed%a0%80",
    "'",
    "\"",
    "-1",
    "0",
    "null",
    "x".repeat(300),
    "%F0%9F%98%80",
    "..",
    "*",
    ":id",
    "{id}",
    "%20",
    "%0d%0aX-Evil:%201",
    "__proto__",
    ";",
    "1e400",
    encodeURIComponent(
      wrongText(random).slice(0, 200)
        .toWellFormed()
    )
  ], "x")

const encoded = (random: Random, value: unknown): string =>
  random.chance(0.12) ? hostile(random) : encodeURIComponent(String(value).toWellFormed())

const pathOf = (random: Random, { parameters, template }: Operation, document: Json, seen: Seen): string => {
  const of = (place: string) => parameters.filter((one) => one["in"] === place)
  let path = template
  for (const one of of("path")) {
    const name = String(one["name"])
    const value = encoded(random, valueOf(random, objectOf(one["schema"]), name, document, seen))
    path = path.replace(`{${name}}`, () => value === "" ? "x" : value)
  }
  const query = of("query").filter((one) => random.chance(one["required"] === true ? 0.92 : 0.4)).map((one) => {
    const name = String(one["name"])
    return `${name}=${encoded(random, valueOf(random, objectOf(one["schema"]), name, document, seen))}`
  })
  if (random.chance(0.06)) {
    query.push(`${pick(random, ["x", "role", "__proto__", "limit", "a[b]", "%00", ""], "x")}=${hostile(random)}`)
  }
  if (query.length > 0 && random.chance(0.05)) query.push(query[0] ?? "")
  return query.length === 0 ? path : `${path}?${query.join("&")}`
}

const odd = (random: Random, path: string): string =>
  pick(random, [
    `/${path}`,
    `${path}/`,
    path.toUpperCase(),
    path.replace("/api/", "/api/%2e%2e/api/"),
    path.replace("/api/", "/api/./"),
    path.replaceAll("/", "//"),
    path.replaceAll("/", "%2f"),
    `${path}%00`,
    `${path}/${"x".repeat(4_000)}`,
    `${path};a=b`,
    `${path}?${"a=b&".repeat(900)}`,
    `${path}#x`,
    path.replace("/api", "/API"),
    "/",
    "*",
    "//",
    "/%",
    "/..",
    "/api",
    "/favicon.ico",
    "http://127.0.0.1/api/wallet",
    `${path}%`,
    `/${"%2e%2e/".repeat(20)}etc/passwd`,
    "/metrics",
    "/openapi.json",
    "/docs"
  ], "/")

const oddHeaders: ReadonlyArray<readonly [string, string]> = [
  ["Accept", "text/html;q=0.1, */*;q=x"],
  ["Accept", "x".repeat(2_000)],
  ["Accept-Encoding", "br;q=1, identity;q=0"],
  ["X-Forwarded-For", "not an address, [::1"],
  ["X-Forwarded-For", ",,,"],
  ["X-Request-Id", "x".repeat(500)],
  ["X-Request-Id", "<script>"],
  ["Traceparent", "00-00000000000000000000000000000000-0000000000000000-01"],
  ["Traceparent", "ff-zz"],
  ["Origin", "null"],
  ["Origin", "https://evil.example"],
  ["Range", "bytes=0-"],
  ["If-None-Match", "*"],
  ["Content-Encoding", "gzip"],
  ["Cookie", "a=b; __proto__=1"],
  ["Expect", "100-continue"],
  ["Te", "trailers"],
  ["X-Http-Method-Override", "DELETE"],
  ["B3", "garbage"],
  ["Tracestate", "=,="],
  ["User-Agent", "\u00ff\u00fe"],
  ["X-Odd", ""],
  ["Authorization", "Bearer"],
  ["Authorization", "Bearer x.y.z"],
  ["Authorization", "Basic \u00e4"],
  ["X-Large", "x".repeat(9_000)]
]

const media = (random: Random, right: string): string =>
  random.chance(0.93) ? right : pick(random, [
    "text/plain",
    "application/xml",
    "multipart/form-data; boundary=x",
    "application/x-www-form-urlencoded",
    "",
    "application/json; charset=utf-16",
    "APPLICATION/JSON",
    "application/json;;",
    "image/*",
    "\u00e4",
    "application/problem+json",
    "application/json, application/json"
  ], right)

const keys = (random: Random): string =>
  random.chance(0.3) ? `repeated-${random.between(1, 40)}` : random.chance(0.9)
    ? `"key-${random.between(1, 1_000_000_000)}"`
    : pick(random, ["", "\"", "\"\"", "x".repeat(300), "a b", "\u00e4", "\"a\\\"", "'", "\"\\u0000\"", "a, b"], "x")

const methods = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "QUERY", "PROPFIND"]

/** The next request: mostly what the document describes, filled with right and wrong values; some beside the document. */
export const wanted = (random: Random, operations: ReadonlyArray<Operation>, document: Json, seen: Seen): Wanted => {
  const operation = operations[random.between(0, operations.length - 1)]
  if (operation === undefined) throw new Error("the document has no operations")
  const right = pathOf(random, operation, document, seen)
  const isOdd = random.chance(0.06)
  const otherMethod = random.chance(0.04)
  const method = otherMethod ? pick(random, methods, "GET") : operation.method
  const headers: Array<readonly [string, string]> = []
  const oddHeader = random.chance(0.1) ? pick(random, oddHeaders, ["X-Odd", ""] as const) : undefined
  if (oddHeader !== undefined) headers.push(oddHeader)
  const unasked = operation.body === undefined && random.chance(0.04)
  const body = operation.body !== undefined && method !== "HEAD"
    ? bodyOf(random, operation.body.schema, document, seen)
    : unasked
    ? Buffer.from(wrongText(random))
    : Buffer.alloc(0)
  if (body.length > 0 || operation.body !== undefined) {
    const type = media(random, operation.body?.media ?? "application/json")
    if (type !== "") headers.push(["Content-Type", type])
  }
  if (
    operation.parameters.some((one) => one["name"] === "Idempotency-Key")
      ? random.chance(0.95)
      : random.chance(0.05)
  ) {
    headers.push(["Idempotency-Key", keys(random)])
  }
  const path = isOdd ? odd(random, right) : right
  return {
    operation,
    role: pick(random, [...roles, "member", "sponsor", "admin"] as const, "member"),
    method,
    path,
    headers,
    body,
    // What HTTP itself or the edge refuses before any route is looked for is no answer of the operation's.
    strict: !isOdd && !otherMethod && !unasked && !/%(00|$|z|f|c0|ed|2F|2e)|\.\.|;/i.test(path) && path.length < 2_000
      && (oddHeader?.[1].length ?? 0) < 5_000
  }
}
