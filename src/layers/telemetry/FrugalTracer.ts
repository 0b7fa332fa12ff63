import { Context, Effect, Layer, Option, Tracer } from "effect"

/**
 * A span inside of a trace that nobody keeps. It carries the identity of its parent, so that log lines and what is sent to
 * other processes name the trace; nothing else of it is ever seen.
 */
class UnsampledSpan implements Tracer.Span {
  readonly _tag = "Span"
  readonly sampled = false
  readonly attributes: ReadonlyMap<string, unknown> = new Map()
  readonly links: ReadonlyArray<Tracer.SpanLink> = []
  readonly name: string
  readonly traceId: string
  readonly spanId: string
  readonly parent: Option.Option<Tracer.AnySpan>
  readonly annotations: Context.Context<never>
  readonly kind: Tracer.SpanKind
  status: Tracer.SpanStatus

  constructor(options: Parameters<Tracer.Tracer["span"]>[0], parent: Tracer.AnySpan) {
    this.name = options.name
    this.parent = options.parent
    this.traceId = parent.traceId
    this.spanId = parent.spanId
    this.annotations = options.annotations
    this.kind = options.kind
    this.status = { _tag: "Started", startTime: options.startTime }
  }

  end: Tracer.Span["end"] = (endTime, exit) => {
    this.status = { _tag: "Ended", startTime: this.status.startTime, endTime, exit }
  }
  attribute(): void {}
  event(): void {}
  addLinks(): void {}
}

/**
 * The SDK's tracer, made cheap in two ways. Effect's bridge makes OpenTelemetry's own context current around every single
 * step of a fiber, which copies two maps each time; nothing here reads that context. And below an unsampled parent no spans
 * of the SDK are made.
 */
export const frugalTracer: Layer.Layer<never> = Layer.effect(
  Tracer.Tracer,
  Effect.map(Tracer.Tracer, (sdk) =>
    Tracer.make({
      span: (options) =>
        Option.isSome(options.parent) && !options.parent.value.sampled && !options.root
          ? new UnsampledSpan(options, options.parent.value)
          : sdk.span(options)
    }))
)
