import { Effect } from "effect"
import type { Random } from "./Random.ts"

export interface Killable {
  readonly name: "server" | "postgres"
  readonly kill: Effect.Effect<void>
  readonly start: Effect.Effect<void>
}

/** Milliseconds from a SIGKILL until its victim was ready again, and until somebody was served after that. */
export interface Recovery {
  readonly what: "server" | "postgres"
  readonly restart: number
  readonly service: number
}

/** Kills and restarts until time is up; victims take turns, and the next dies only after somebody was served again. */
export const crashes = (
  victims: ReadonlyArray<Killable>,
  choices: Random,
  calm: number,
  over: () => boolean,
  lastAcknowledged: () => number
) => {
  const kills = { server: 0, postgres: 0 }
  const recoveries: Array<Recovery> = []
  const loop = Effect.gen(function*() {
    if (victims.length === 0) return
    yield* Effect.sleep(choices.between(300, calm))
    for (let turn = choices.between(0, victims.length - 1); !over(); turn++) {
      const victim = victims[turn % victims.length]
      if (victim === undefined) return
      const at = performance.now()
      yield* victim.kill
      kills[victim.name] += 1
      yield* victim.start
      const restarted = performance.now()
      while (lastAcknowledged() < restarted && performance.now() - at < 30_000) yield* Effect.sleep("5 millis")
      recoveries.push({
        what: victim.name,
        restart: Math.round(restarted - at),
        service: Math.round(performance.now() - at)
      })
      yield* Effect.sleep(choices.between(100, calm))
    }
  })
  return { kills, recoveries, loop }
}
