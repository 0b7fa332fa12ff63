import { Effect, Option, type Tracer } from "effect"
import { Headers, HttpTraceContext } from "effect/http"

/**
 * W3C `traceparent` of the span that is current, for whatever carries work to another process: a queue command, the
 * environment of a child. None outside of a span.
 */
export const current: Effect.Effect<Option.Option<string>> = Effect.currentParentSpan.pipe(
  Effect.map((span) => `00-${span.traceId}-${span.spanId}-${span.sampled ? "01" : "00"}`),
  Effect.option
)

/**
 * Runs an effect as a child of the span that `traceparent` names, although that span lives in another process. Without
 * one, or with a malformed one, the effect runs in the trace it is already in.
 */
export const continueFrom =
  (traceparent: Option.Option<string>) =>
  <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R | Exclude<R, Tracer.ParentSpan>> =>
    Option.match(
      Option.flatMap(traceparent, (value) => HttpTraceContext.w3c(Headers.fromRecordUnsafe({ traceparent: value }))),
      {
        onNone: () => self,
        onSome: (span) => Effect.withParentSpan(self, span)
      }
    )

/** From how long on a request's span is kept although its trace is not. */
export const slowNanos = 1_000_000_000n

/**
 * A span for a step that every request takes, made only where somebody will see it. Effect's own makes one in any case, and
 * with it a stack trace and two contexts: below a span that is not sampled, that is a tenth of a transfer's cost.
 */
export const spanWhenSampled = (name: string) => <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.withFiber((fiber) =>
    fiber.cache.span?.sampled === false ? self : Effect.withSpan(self, name, { captureStackTrace: false })
  )
