import type { LogRecordProcessor } from "@opentelemetry/sdk-logs"
import type { SpanProcessor } from "@opentelemetry/sdk-trace-base"

/**
 * Our own messages name ids only, but those of libraries quote what they were given: a mail server its recipient, a
 * database the key that exists already. The one kind of personal data that text betrays by its shape is an address.
 */
export const mask = (text: string): string =>
  text.includes("@") ? text.replace(/[^\s"'<>()=,;:/]+@[^\s"'<>()=,;:]+\.[a-z]+/gi, "<email>") : text

const exceptionTexts = ["exception.message", "exception.stacktrace"]

/** Runs before every processor that keeps spans. Effect's server span records the caller's address; it is taken off here. */
export const impersonalSpans: SpanProcessor = {
  onStart() {},
  onEnd: (span) => {
    delete span.attributes["client.address"]
    if (span.status.message !== undefined) span.status.message = mask(span.status.message)
    for (const { attributes } of span.events) {
      if (attributes === undefined) continue
      for (const name of exceptionTexts) {
        const text = attributes[name]
        if (typeof text === "string") attributes[name] = mask(text)
      }
    }
  },
  forceFlush: () => Promise.resolve(),
  shutdown: () => Promise.resolve()
}

/** The same for log records on their way to a collector. */
export const impersonalLogs: LogRecordProcessor = {
  onEmit: (record) => {
    if (typeof record.body === "string") record.setBody(mask(record.body))
    for (const name of exceptionTexts) {
      const text = record.attributes[name]
      if (typeof text === "string") record.setAttribute(name, mask(text))
    }
  },
  forceFlush: () => Promise.resolve(),
  shutdown: () => Promise.resolve()
}
