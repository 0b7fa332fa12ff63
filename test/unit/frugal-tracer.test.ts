import { assert, describe, it } from "@effect/vitest"
import { AlwaysOnSampler, TraceIdRatioBasedSampler } from "@opentelemetry/sdk-trace-base"
import { Context, Effect, Exit, Layer, Option, Tracer } from "effect"
import { frugalTracer } from "../../src/layers/telemetry/FrugalTracer.ts"
import { Handover } from "../../src/layers/telemetry/Handover.ts"

interface Made {
  readonly name: string
  readonly traceId: string
  readonly spanId: string
  readonly attributes: Map<string, unknown>
  endTime: bigint | undefined
}

/** A tracer that makes spans as the SDK does, with the ids that it is handed, and keeps them. */
const recorder = (handover: Handover) => {
  const made: Array<Made> = []
  const tracer = Tracer.make({
    span: (options) => {
      const span: Made = {
        name: options.name,
        traceId: handover.generateTraceId(),
        spanId: handover.generateSpanId(),
        attributes: new Map(),
        endTime: undefined
      }
      made.push(span)
      return {
        ...options,
        ...span,
        _tag: "Span",
        sampled: true,
        status: { _tag: "Started", startTime: options.startTime },
        end: (endTime) => {
          span.endTime = endTime
        },
        attribute: (key, value) => void span.attributes.set(key, value),
        event() {},
        addLinks() {}
      }
    }
  })
  return { made, tracer }
}

const request = (startTime: bigint, kind: Tracer.SpanKind = "server") => ({
  name: "GET /things",
  parent: Option.none(),
  annotations: Context.empty(),
  links: [],
  startTime,
  kind,
  root: false,
  sampled: true
})

const frugal = (handover: Handover) => {
  const { made, tracer } = recorder(handover)
  return Effect.map(
    Effect.provide(
      Effect.service(Tracer.Tracer),
      Layer.provide(frugalTracer(handover), Layer.succeed(Tracer.Tracer)(tracer))
    ),
    (frugal) => ({ made, frugal })
  )
}

const none = new TraceIdRatioBasedSampler(0)
const second = 1_000_000_000n

describe("the tracer outside of the sample", () => {
  it.effect("makes no span for a request that was quick and went well", () =>
    Effect.gen(function*() {
      const { frugal: tracer, made } = yield* frugal(new Handover(none, true))
      tracer.span(request(0n)).end(second - 1n, Exit.void)
      assert.deepStrictEqual(made, [])
    }))

  it.effect("makes the span of a slow request at its end, with its ids and attributes", () =>
    Effect.gen(function*() {
      const { frugal: tracer, made } = yield* frugal(new Handover(none, true))
      const span = tracer.span(request(0n))
      span.attribute("http.route", "/things")
      assert.deepStrictEqual(made, [])
      span.end(second, Exit.void)
      assert.deepStrictEqual(made, [{
        name: "GET /things",
        traceId: span.traceId,
        spanId: span.spanId,
        attributes: new Map([["http.route", "/things"]]),
        endTime: second
      }])
      assert.isFalse(span.sampled)
    }))

  it.effect("makes twenty a second at most, and none where the sampler is off", () =>
    Effect.gen(function*() {
      const { frugal: tracer, made } = yield* frugal(new Handover(none, true))
      for (let n = 0; n < 100; n++) tracer.span(request(0n)).end(5n * second, Exit.void)
      assert.strictEqual(made.length, 20)
      tracer.span(request(0n)).end(6n * second, Exit.void)
      assert.strictEqual(made.length, 21)
      const off = yield* frugal(new Handover(none, false))
      off.frugal.span(request(0n)).end(second, Exit.die("no"))
      assert.deepStrictEqual(off.made, [])
    }))

  it.effect("gives the SDK the ids that the sampler judged", () =>
    Effect.gen(function*() {
      const { frugal: tracer, made } = yield* frugal(new Handover(new AlwaysOnSampler(), true))
      const [first, other] = [tracer.span(request(0n)), tracer.span(request(0n))]
      assert.deepStrictEqual(made.map(({ traceId }) => traceId), [first.traceId, other.traceId])
      assert.notStrictEqual(first.traceId, other.traceId)
      assert.isTrue(first.sampled)
    }))
})
