import { yieldAtOnce } from "../layers/Yield.ts"

// Before the rest is loaded: a process that is killed again and again would take a second of a processor from payments each time.
yieldAtOnce(10)

const [{ launchProcess }, { VideoProcessLive }] = await Promise.all([
  import("../layers/ProcessMain.ts"),
  import("../layers/VideoProcessLive.ts")
])

launchProcess("video", VideoProcessLive)
