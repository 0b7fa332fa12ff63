import { Deferred, Effect, Tracer } from "effect"

/** A tracer that keeps every span, and tells when a span is given the attribute `process.pid`. */
export const recordedTracer = Effect.gen(function*() {
  const spans: Array<Tracer.NativeSpan> = []
  const pid = yield* Deferred.make<number>()
  class RecordedSpan extends Tracer.NativeSpan {
    override attribute(key: string, value: unknown): void {
      super.attribute(key, value)
      if (key === "process.pid") Deferred.doneUnsafe(pid, Effect.succeed(Number(value)))
    }
  }
  const tracer = Tracer.make({
    span: (options) => {
      const span = new RecordedSpan(options)
      spans.push(span)
      return span
    }
  })
  return { tracer, spans, pid: Deferred.await(pid) }
})
