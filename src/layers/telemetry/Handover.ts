import { type Context, ROOT_CONTEXT, SpanKind } from "@opentelemetry/api"
import { type IdGenerator, RandomIdGenerator, type Sampler, SamplingDecision } from "@opentelemetry/sdk-trace-base"

interface Ids {
  readonly traceId: string
  readonly spanId: string
}

/**
 * What the SDK asks when it makes a span: its ids, and whether it is kept. For a span whose ids or decision are known already,
 * this answers with them; for every other it draws ids and asks the sampler.
 */
export class Handover implements IdGenerator, Sampler {
  /** Whether a request outside of the sample is kept when it fails or is slow. */
  readonly keepsFailures: boolean
  readonly #sampler: Sampler
  readonly #random = new RandomIdGenerator()
  #ids: Ids | undefined
  #forced = false

  constructor(sampler: Sampler, keepsFailures: boolean) {
    this.#sampler = sampler
    this.keepsFailures = keepsFailures
  }

  ids(): Ids {
    return { traceId: this.#random.generateTraceId(), spanId: this.#random.generateSpanId() }
  }

  /** The sampler's decision on a request that begins a trace. */
  isSampled(traceId: string, name: string): boolean {
    const { decision } = this.#sampler.shouldSample(ROOT_CONTEXT, traceId, name, SpanKind.SERVER, {}, [])
    return decision === SamplingDecision.RECORD_AND_SAMPLED
  }

  /** The span that `make` makes has these ids. */
  as<A>(ids: Ids, make: () => A): A {
    this.#ids = ids
    try {
      return make()
    } finally {
      this.#ids = undefined
    }
  }

  /** … and is kept, whatever the sampler says. */
  sampledAs<A>(ids: Ids, make: () => A): A {
    this.#forced = true
    try {
      return this.as(ids, make)
    } finally {
      this.#forced = false
    }
  }

  // The SDK takes these two off the object that it was given.
  generateTraceId = (): string => this.#ids?.traceId ?? this.#random.generateTraceId()
  generateSpanId = (): string => this.#ids?.spanId ?? this.#random.generateSpanId()

  shouldSample(context: Context, ...about: SamplerArguments): ReturnType<Sampler["shouldSample"]> {
    return this.#forced
      ? { decision: SamplingDecision.RECORD_AND_SAMPLED }
      : this.#sampler.shouldSample(context, ...about)
  }

  toString(): string {
    return `Handover{${this.#sampler.toString()}}`
  }
}

type SamplerArguments = Parameters<Sampler["shouldSample"]> extends [Context, ...infer Rest] ? Rest : never
