/** Why Stripe would not read a request, as its error object. */
export interface StripeError {
  readonly type: string
  readonly message: string
  readonly code?: string
  readonly param?: string
}

type Kind = "string" | "integer" | "boolean" | "money" | readonly [string, ...ReadonlyArray<string>]
export interface Parameters {
  readonly optional: Readonly<Record<string, Kind>>
  readonly required?: Readonly<Record<string, Kind>>
}

export type Form = ReadonlyMap<string, string>

const anyIndex = (name: string) => name.replace(/\[\d+\]/g, "[]")

/** `metadata[*]` in a table stands for every key below it. */
const kindOf = (parameters: Parameters, name: string): Kind | undefined => {
  const general = anyIndex(name)
  const all = { ...parameters.optional, ...parameters.required }
  return all[general] ?? all[general.replace(/\[[^\]]+\]$/, "[*]")]
}

const invalid = (message: string, param: string, code?: string): StripeError => ({
  type: "invalid_request_error",
  message,
  param,
  ...(code === undefined ? {} : { code })
})

const wrong = (kind: Kind, name: string, value: string): StripeError | undefined => {
  if (typeof kind !== "string") {
    return kind.includes(value) ? undefined : invalid(`Invalid ${name}: must be one of ${kind.join(", ")}`, name)
  }
  if (kind === "boolean" && !/^(true|false)$/.test(value)) return invalid(`Invalid boolean: ${value}`, name)
  if (kind === "integer" && !/^-?\d{1,15}$/.test(value)) {
    return invalid(`Invalid integer: ${value}`, name, "parameter_invalid_integer")
  }
  if (kind === "money" && !/^[1-9]\d*$/.test(value)) {
    return invalid(`Invalid positive integer`, name, "parameter_invalid_integer")
  }
  if (kind === "money" && value.length > 8) {
    return invalid(`Amount must be no more than 99999999`, name, "amount_too_large")
  }
  if (value === "") return invalid(`You passed an empty string for '${name}'.`, name, "parameter_invalid_empty")
  return undefined
}

/** Reads `a[b][0][c]=d` pairs against the table of an endpoint. */
export const readForm = (text: string, parameters: Parameters): Form | StripeError => {
  const form = new Map<string, string>()
  for (const [name, value] of new URLSearchParams(text)) {
    const kind = kindOf(parameters, name)
    if (kind === undefined) return invalid(`Received unknown parameter: ${name}`, name, "parameter_unknown")
    const error = wrong(kind, name, value)
    if (error !== undefined) return error
    form.set(name, value)
  }
  for (const name of Object.keys(parameters.required ?? {})) {
    if (![...form.keys()].some((given) => anyIndex(given) === name)) {
      return invalid(`Missing required param: ${name}.`, name, "parameter_missing")
    }
  }
  return form
}

export const isError = (value: Form | StripeError): value is StripeError => !(value instanceof Map)

/** What stands below a name: `metadata[a]=1` as `{a: "1"}`. */
export const below = (form: Form, name: string): Readonly<Record<string, string>> =>
  Object.fromEntries(
    [...form].flatMap(([key, value]) => key.startsWith(`${name}[`) ? [[key.slice(name.length + 1, -1), value]] : [])
  )

/** The values of a list: `expand[0]`, `expand[1]` or `expand[]`. */
export const listed = (form: Form, name: string): ReadonlyArray<string> =>
  [...form].flatMap(([key, value]) => anyIndex(key) === `${name}[]` ? [value] : [])
