import { join } from "node:path"
import { query } from "../../../bench/database.ts"
import { type Fault, faults } from "./Faults.ts"
import type { Composition, Stage } from "./Stage.ts"

/** A wall taken away, and the fault that must then be felt. A harness that does not notice would prove nothing. */
export interface Regression {
  readonly says: string
  readonly api: (stage: Stage) => Composition
  /** What the wall's absence needs to work at all. */
  readonly prepare: (stage: Stage) => Promise<unknown>
  readonly undo: (stage: Stage) => Promise<unknown>
  readonly fault: Fault | undefined
}

const nothing = () => Promise.resolve()

export const regressions: Readonly<Record<string, Regression>> = {
  "shared-pool": {
    says: "wallet and video share one pool, and video's connections are exhausted",
    api: () => ({
      args: ["--import", join(import.meta.dirname, "with-one-pool.ts"), "src/main/Api.ts"],
      environment: {}
    }),
    // The roles alone would give the mistake away: to be silent, it takes a role that may do both.
    prepare: (stage) => query(stage.url, "GRANT midnight_video_api TO midnight_wallet WITH INHERIT TRUE"),
    undo: (stage) => query(stage.url, "REVOKE midnight_video_api FROM midnight_wallet"),
    fault: faults["connections"]
  },
  "in-process": {
    says: "the API verifies videos itself",
    api: (stage) => ({
      args: [join(import.meta.dirname, "api-verifies.ts")],
      environment: stage.environment("Video")
    }),
    prepare: nothing,
    undo: nothing,
    fault: {
      says: "500 jobs wait",
      video: null,
      films: 0.1,
      jobs: { count: 500, poison: false },
      proof: () => "500 jobs"
    }
  }
}
