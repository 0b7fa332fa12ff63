import { Effect } from "effect"
import type { Random } from "./Random.ts"

export interface Killable {
  readonly name: "server" | "postgres"
  readonly kill: Effect.Effect<void>
  readonly start: Effect.Effect<void>
}

/** Kills and restarts until time is up; the next kill comes only after somebody was served again. */
export const crashes = (
  victims: ReadonlyArray<Killable>,
  choices: Random,
  calm: number,
  over: () => boolean,
  lastAcknowledged: () => number
) => {
  const kills = { server: 0, postgres: 0 }
  const recoveries: Array<{ what: string; millis: number }> = []
  const loop = Effect.gen(function*() {
    const [first, ...rest] = victims
    if (first === undefined) return
    yield* Effect.sleep(choices.between(300, calm))
    while (!over()) {
      const victim = choices.pick([first, ...rest])
      const at = performance.now()
      yield* victim.kill
      const dead = performance.now()
      kills[victim.name] += 1
      yield* victim.start
      while (lastAcknowledged() < dead && performance.now() - at < 30_000) yield* Effect.sleep("5 millis")
      recoveries.push({ what: victim.name, millis: Math.round(lastAcknowledged() - at) })
      yield* Effect.sleep(choices.between(100, calm))
    }
  })
  return { kills, recoveries, loop }
}
