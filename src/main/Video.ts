import { launchProcess } from "../layers/ProcessMain.ts"
import { VideoProcessLive } from "../layers/VideoProcessLive.ts"

launchProcess("video", VideoProcessLive)
