import { Predicate } from "effect"

type Json = Readonly<Record<PropertyKey, unknown>>

const objectOf = (value: unknown): Json => Predicate.isObject(value) ? value : {}
const listOf = (value: unknown): ReadonlyArray<unknown> => Array.isArray(value) ? value : []

const typeOf = (value: unknown): string =>
  value === null ? "null" : Array.isArray(value) ? "array" : Number.isInteger(value) ? "integer" : typeof value

const isOfType = (value: unknown, type: unknown): boolean =>
  type === typeOf(value) || (type === "number" && typeof value === "number")

// What says nothing about which values are allowed.
const annotations = new Set(["description", "title", "default", "examples", "format", "contentEncoding", "$comment"])

type Rule = (wanted: unknown, value: unknown, at: string, schema: Json, document: Json) => ReadonlyArray<string>

const when = (bad: boolean, complaint: string): ReadonlyArray<string> => bad ? [complaint] : []
const isBelow = (value: unknown, least: unknown) => typeof value === "number" && value < Number(least)
const isAbove = (value: unknown, most: unknown) => typeof value === "number" && value > Number(most)

const rules: Readonly<Record<string, Rule>> = {
  $ref: (ref, value, at, _, document) =>
    complaints(
      String(ref).slice(2).split("/").reduce<unknown>((node, key) => objectOf(node)[key], document),
      value,
      document,
      at
    ),
  type: (type, value, at) =>
    when(
      !(Array.isArray(type) ? type : [type]).some((one) => isOfType(value, one)),
      `${at} is ${typeOf(value)}, not ${String(type)}`
    ),
  enum: (allowed, value, at) => when(!listOf(allowed).includes(value), `${at} is none of ${JSON.stringify(allowed)}`),
  const: (one, value, at) => when(one !== value, `${at} is not ${JSON.stringify(one)}`),
  anyOf: (schemas, value, at, _, document) =>
    when(
      !listOf(schemas).some((one) => complaints(one, value, document, at).length === 0),
      `${at} is none of its alternatives: ${JSON.stringify(value)}`
    ),
  allOf: (schemas, value, at, _, document) => listOf(schemas).flatMap((one) => complaints(one, value, document, at)),
  properties: (properties, value, at, _, document) =>
    Object.entries(objectOf(properties)).flatMap(([name, schema]) =>
      name in objectOf(value) ? complaints(schema, objectOf(value)[name], document, `${at}/${name}`) : []
    ),
  required: (names, value, at) =>
    listOf(names).flatMap((name) => when(!(String(name) in objectOf(value)), `${at}/${String(name)} is missing`)),
  additionalProperties: (rest, value, at, { properties }, document) =>
    Object.entries(objectOf(value)).filter(([name]) => !(name in objectOf(properties))).flatMap(([name, one]) =>
      rest === false ? [`${at}/${name} is not in the document`] : complaints(rest, one, document, `${at}/${name}`)
    ),
  items: (schema, value, at, { prefixItems }, document) =>
    listOf(value).slice(listOf(prefixItems).length).flatMap((one, index) =>
      complaints(schema, one, document, `${at}/${index}`)
    ),
  prefixItems: (schemas, value, at, _, document) =>
    listOf(schemas).flatMap((one, index) => complaints(one, listOf(value)[index], document, `${at}/${index}`)),
  // JSON Schema asks for Unicode semantics; without them \p{Cc} means the letters p, C and c.
  pattern: (pattern, value, at) =>
    when(
      typeof value === "string" && !new RegExp(String(pattern), "u").test(value),
      `${at} does not match ${String(pattern)}`
    ),
  minimum: (least, value, at) => when(isBelow(value, least), `${at} is below ${String(least)}`),
  maximum: (most, value, at) => when(isAbove(value, most), `${at} is above ${String(most)}`),
  minLength: (least, value, at) =>
    when(typeof value === "string" && isBelow(value.length, least), `${at} is too short`),
  maxLength: (most, value, at) => when(typeof value === "string" && isAbove(value.length, most), `${at} is too long`),
  minItems: (least, value, at) => when(isBelow(listOf(value).length, least), `${at} has too few items`),
  maxItems: (most, value, at) => when(isAbove(listOf(value).length, most), `${at} has too many items`)
}

/** Where a value does not fit a JSON Schema of the document. A keyword that is not known here is a complaint too. */
const complaints = (schema: unknown, value: unknown, document: Json, at: string): ReadonlyArray<string> => {
  if (schema === true) return []
  const own = objectOf(schema)
  return Object.entries(own).filter(([keyword]) => !annotations.has(keyword)).flatMap(([keyword, wanted]) =>
    rules[keyword]?.(wanted, value, at, own, document) ?? [`${at}: the keyword ${keyword} is not judged`]
  )
}

const fits = (template: string, path: string) =>
  new RegExp(`^${template.replaceAll(".", "\\.").replace(/\{[^}]+\}/g, "[^/]+")}$`).test(path)

/** The document's path template for a URL's path; a literal one comes before one with a parameter. */
export const templateOf = (document: Json, path: string): string | undefined =>
  Object.keys(objectOf(document["paths"])).sort((a, b) => a.split("{").length - b.split("{").length)
    .find((template) => fits(template, path))

export interface Judged {
  readonly method: string
  readonly path: string
  readonly status: number
  readonly contentType: string
  readonly text: string
}

/**
 * What an answer has that the OpenAPI document does not say, judged by a reading of JSON Schema of its own. It shares no code
 * with what made the document.
 */
export const judge = (document: Json, { contentType, method, path, status, text }: Judged): ReadonlyArray<string> => {
  const template = templateOf(document, path)
  const operation = objectOf(objectOf(objectOf(document["paths"])[template ?? ""])[method.toLowerCase()])
  const response = objectOf(operation["responses"])[String(status)]
  const name = `${method} ${template ?? path} ${status}`
  if (response === undefined) return [`${name} is not in the document`]
  const content = objectOf(response)["content"]
  if (content === undefined) return when(text !== "", `${name} has a body, and none in the document`)
  const media = contentType.split(";", 1)[0] ?? ""
  const schema = objectOf(objectOf(content)[media])["schema"]
  if (schema === undefined) return [`${name} is ${media}, and not in the document`]
  return media.endsWith("json") ? complaints(schema, JSON.parse(text), document, name) : []
}
