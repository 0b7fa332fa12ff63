import { Cause, Context, Logger, References, Tracer } from "effect"
import type { LogLevel } from "effect"
import { mask } from "./Impersonal.ts"
import type { RotatingFile } from "./RotatingFile.ts"

interface Line {
  readonly timestamp: string
  readonly level: LogLevel.LogLevel
  readonly message: string
  readonly fields: Readonly<Record<string, unknown>>
  readonly error: string | undefined
}

const text = (part: unknown): string =>
  typeof part === "string" ? part : part instanceof Error ? part.message : JSON.stringify(part) ?? String(part)

const line = Logger.make<unknown, Line>(({ cause, date, fiber, logLevel, message }) => {
  const span = Context.getOrUndefined(fiber.context, Tracer.ParentSpan)
  return {
    timestamp: date.toISOString(),
    level: logLevel,
    message: mask((Array.isArray(message) ? message : [message]).map(text).join(" ")),
    fields: {
      ...(span === undefined ? {} : { trace_id: span.traceId, span_id: span.spanId }),
      ...fiber.getRef(References.CurrentLogAnnotations)
    },
    error: cause.reasons.length === 0 ? undefined : mask(Cause.pretty(cause))
  }
})

/** One JSON object per line; the annotations stand beside `message`, not inside of it, so that log stores index them. */
export const json = (service: string): Logger.Logger<unknown, string> =>
  Logger.map(
    line,
    ({ error, fields, level, message, timestamp }) =>
      JSON.stringify({ timestamp, level: level.toLowerCase(), service, message, ...fields, error })
  )

const colours = { Trace: 90, Debug: 90, Info: 36, Warn: 33, Error: 31, Fatal: 35, All: 0, None: 0 }

/** For a person at a terminal: time, level, message, then the fields that are not ids of the machinery. */
export const pretty = (service: string, colour: boolean): Logger.Logger<unknown, string> => {
  const paint = (code: number, value: string) => colour ? `\u001b[${code}m${value}\u001b[0m` : value
  return Logger.map(line, ({ error, fields, level, message, timestamp }) => {
    const shown = Object.entries(fields).filter(([name]) => name !== "span_id" && name !== "trace_id")
      .map(([name, value]) => `${paint(90, `${name}=`)}${text(value)}`)
    const head = [
      paint(90, timestamp.slice(11, 23)),
      paint(colours[level], level.toUpperCase().padEnd(5)),
      paint(90, service.padEnd(5)),
      message
    ]
    return [...head, ...shown].join(" ") + (error === undefined ? "" : `\n${paint(31, error)}`)
  })
}

/** The same JSON lines in `combined.log`, and those of failures in `error.log` too. */
export const files = (service: string, combined: RotatingFile, errors: RotatingFile): Logger.Logger<unknown, void> => {
  const format = json(service)
  return Logger.make((options) => {
    const formatted = format.log(options)
    combined.append(formatted)
    if (options.logLevel === "Error" || options.logLevel === "Fatal") errors.append(formatted)
  })
}
