import { Context, Effect, Exit, Layer, Option, Tracer } from "effect"
import { slowNanos } from "../../services/TraceContext.ts"
import type { Handover } from "./Handover.ts"

const nothing: ReadonlyMap<string, unknown> = new Map()

type SpanOptions = Parameters<Tracer.Tracer["span"]>[0]

/**
 * A span inside of a trace that nobody keeps. It carries the identity of its server span, so that log lines and what is sent to
 * other processes name the trace; nothing else of it is ever seen.
 */
class UnsampledSpan implements Tracer.Span {
  readonly _tag = "Span"
  readonly sampled = false
  readonly attributes: ReadonlyMap<string, unknown> = nothing
  readonly links: ReadonlyArray<Tracer.SpanLink> = []
  readonly name: string
  readonly traceId: string
  readonly spanId: string
  readonly parent: Option.Option<Tracer.AnySpan>
  readonly annotations: Context.Context<never>
  readonly kind: Tracer.SpanKind
  status: Tracer.SpanStatus

  constructor(options: SpanOptions, ids: { readonly traceId: string; readonly spanId: string }) {
    this.name = options.name
    this.parent = options.parent
    this.traceId = ids.traceId
    this.spanId = ids.spanId
    this.annotations = options.annotations
    this.kind = options.kind
    this.status = { _tag: "Started", startTime: options.startTime }
  }

  end(endTime: bigint, exit: Exit.Exit<unknown, unknown>): void {
    this.status = { _tag: "Ended", startTime: this.status.startTime, endTime, exit }
  }
  attribute(_key: string, _value: unknown): void {}
  event(): void {}
  addLinks(): void {}
}

/**
 * The span of a request whose trace is not kept. When the request fails, or takes long, the SDK makes the span after all, at its
 * end and alone: what went wrong is known for every request, at the price of the few that did.
 */
class UnsampledRequest extends UnsampledSpan {
  readonly #options: SpanOptions
  readonly #keep: Keep
  #attributes: Array<readonly [string, unknown]> | undefined

  constructor(options: SpanOptions, ids: { readonly traceId: string; readonly spanId: string }, keep: Keep) {
    super(options, ids)
    this.#options = options
    this.#keep = keep
  }

  override attribute(key: string, value: unknown): void {
    this.#attributes ??= []
    this.#attributes.push([key, value])
  }

  override end(endTime: bigint, exit: Exit.Exit<unknown, unknown>): void {
    const slow = endTime - this.status.startTime >= slowNanos
    super.end(endTime, exit)
    if (slow || Exit.isFailure(exit)) this.#keep(this, this.#options, endTime, exit, this.#attributes ?? [])
  }
}

type Keep = (
  ids: { readonly traceId: string; readonly spanId: string },
  options: SpanOptions,
  endTime: bigint,
  exit: Exit.Exit<unknown, unknown>,
  attributes: ReadonlyArray<readonly [string, unknown]>
) => void

// Under an overload every request is slow or refused, and a thousand spans of it say no more than a few.
const mostKeptASecond = 20
const second = 1_000_000_000n

const keeping = (sdk: Tracer.Tracer, handover: Handover): Keep => {
  let until = 0n
  let kept = 0
  return (ids, options, endTime, exit, attributes) => {
    if (!handover.keepsFailures) return
    if (endTime >= until) {
      until = endTime + second
      kept = 0
    }
    if (++kept > mostKeptASecond) return
    const span = handover.sampledAs(ids, () => sdk.span(options))
    for (const [key, value] of attributes) span.attribute(key, value)
    span.end(endTime, exit)
  }
}

/**
 * The SDK's tracer, made cheap in three ways. Effect's bridge makes OpenTelemetry's own context current around every single
 * step of a fiber, which copies two maps each time; nothing here reads that context. Below an unsampled parent no spans
 * of the SDK are made. And a request that begins a trace is given its ids and the sampler's decision here, so that the SDK hears of
 * those only that are kept.
 */
export const frugalTracer = (handover: Handover): Layer.Layer<never> =>
  Layer.effect(
    Tracer.Tracer,
    Effect.map(Tracer.Tracer, (sdk) => {
      const keep = keeping(sdk, handover)
      const request = (options: SpanOptions): Tracer.Span => {
        if (Option.isNone(options.parent)) {
          const ids = handover.ids()
          return handover.isSampled(ids.traceId, options.name)
            ? handover.as(ids, () => sdk.span(options))
            : new UnsampledRequest(options, ids, keep)
        }
        const span = sdk.span(options)
        return span.sampled ? span : new UnsampledRequest(options, span, keep)
      }
      return Tracer.make({
        span: (options) =>
          options.kind === "server"
            ? request(options)
            : Option.isSome(options.parent) && !options.parent.value.sampled && !options.root
            ? new UnsampledSpan(options, options.parent.value)
            : sdk.span(options)
      })
    })
  )
