import { Clock, Context, DateTime, Effect, Layer, Ref } from "effect"
import type { BulkheadHealth, BulkheadName, Services, Status } from "../domain/Health.ts"

const rank: Record<Status, number> = { ok: 0, degraded: 1, down: 2 }

/**
 * What `/health` says of each bulkhead. A bulkhead has several parts (fibers, processes, its pool); it is as well as the
 * worst of them, and its restarts are the sum of theirs.
 */
export class Health extends Context.Service<Health, {
  report(bulkhead: BulkheadName, part: string, status: Status, restarts?: number): Effect.Effect<void>
  readonly snapshot: Effect.Effect<Services>
  /** How a bulkhead is apart from one of its parts. */
  statusWithout(bulkhead: BulkheadName, part: string): Effect.Effect<Status>
}>()("midnight/services/Health") {
  static readonly layer = Layer.effect(
    Health,
    Effect.gen(function*() {
      interface Part {
        readonly status: Status
        readonly restarts: number
        readonly since: number
      }
      const started = yield* Clock.currentTimeMillis
      const parts = yield* Ref.make<ReadonlyMap<string, Part>>(new Map())

      const report = Effect.fnUntraced(
        function*(bulkhead: BulkheadName, part: string, status: Status, restarts?: number) {
          const now = yield* Clock.currentTimeMillis
          yield* Ref.update(parts, (map) => {
            const key = `${bulkhead}/${part}`
            const before = map.get(key)
            const since = before?.status === status ? before.since : now
            return new Map(map).set(key, { status, restarts: restarts ?? before?.restarts ?? 0, since })
          })
        }
      )

      const of = (map: ReadonlyMap<string, Part>, bulkhead: BulkheadName, without?: string): BulkheadHealth => {
        let worst: Part = { status: "ok", restarts: 0, since: started }
        let restarts = 0
        for (const [key, part] of map) {
          if (!key.startsWith(`${bulkhead}/`) || key === `${bulkhead}/${without}`) continue
          restarts += part.restarts
          const worse = rank[part.status] - rank[worst.status]
          if (worse > 0 || (worse === 0 && part.since > worst.since)) worst = part
        }
        return { status: worst.status, restarts, since: DateTime.makeUnsafe(worst.since) }
      }

      return Health.of({
        report,
        statusWithout: (bulkhead, part) => Effect.map(Ref.get(parts), (map) => of(map, bulkhead, part).status),
        snapshot: Effect.map(Ref.get(parts), (map) => ({
          identity: of(map, "identity"),
          wallet: of(map, "wallet"),
          payments: of(map, "payments"),
          rewards: of(map, "rewards"),
          video: of(map, "video")
        }))
      })
    })
  )
}
