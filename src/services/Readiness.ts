import { Context, Effect, Layer } from "effect"

/**
 * Whether this process wants new requests. It serves what comes either way: readiness is what load balancers ask before
 * the process closes its port.
 */
export class Readiness extends Context.Service<Readiness, {
  readonly isDraining: Effect.Effect<boolean>
  /** The same, for the edge, which asks at every request. */
  isDrainingUnsafe(): boolean
  readonly drain: Effect.Effect<void>
}>()("midnight/services/Readiness") {
  static readonly layer = Layer.sync(Readiness, () => {
    let draining = false
    return {
      isDraining: Effect.sync(() => draining),
      isDrainingUnsafe: () => draining,
      drain: Effect.sync(() => {
        draining = true
      })
    }
  })
}
