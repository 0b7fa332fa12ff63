import { Context, Effect, Layer, Ref } from "effect"

/**
 * Whether this process wants new requests. It serves what comes either way: readiness is what load balancers ask before
 * the process closes its port.
 */
export class Readiness extends Context.Service<Readiness, {
  readonly isDraining: Effect.Effect<boolean>
  readonly drain: Effect.Effect<void>
}>()("midnight/services/Readiness") {
  static readonly layer = Layer.effect(
    Readiness,
    Effect.map(
      Ref.make(false),
      (draining) => Readiness.of({ isDraining: Ref.get(draining), drain: Ref.set(draining, true) })
    )
  )
}
