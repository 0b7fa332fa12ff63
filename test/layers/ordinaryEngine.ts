import { MediaEngineLive } from "../../src/layers/media/Engine.ts"

/** The engine of production, but for its priority: beside other tests, idle processes hardly run at all. */
export const ordinaryEngine = MediaEngineLive.layer({ idle: false })
